"""Videos: times, sound, subtitles, colours, interruptions. Clips are made here with PyAV."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maintain.formats import Repeating
from superres.cli.main import main
from superres.errors import UserError
from superres.upscaling import video as module
from superres.upscaling.enlarge import Enlarger
from superres.upscaling.video import parts_folder, state_of, upscale_video
from superres.upscaling.video_reading import probe
from superres.upscaling.writing import DiskFull

from .conftest import scene

av = pytest.importorskip("av")
ROOT = Path(__file__).resolve().parents[2]
TICKS = Fraction(1, 12800)


def make_clip(path, count=20, size=(32, 48), pix_fmt="yuv420p", subtitles=False, colours=None):
    """Frames of varying length, a tone, and two subtitles; gives the frames' times in seconds."""
    height, width = size
    webm = path.suffix == ".webm"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libvpx-vp9" if webm else "libx264", rate=24)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.time_base = video.codec_context.time_base = TICKS
        for tag, value in (colours or {}).items():
            setattr(video.codec_context, tag, value)
        sound = out.add_stream("libopus" if webm else "aac", rate=48000, layout="mono")
        sound.metadata["language"] = "fra"
        text = None
        if subtitles:
            path.with_suffix(".srt").write_text(
                "1\n00:00:00,100 --> 00:00:00,300\nOne\n\n2\n00:00:00,400 --> 00:00:00,600\nTwo\n"
            )
            source = av.open(str(path.with_suffix(".srt")))
            text = out.add_stream_from_template(source.streams[0])
        tick, times = 0, []
        for index in range(count):
            shifted = np.roll(scene(height, width), index, axis=1)
            frame = av.VideoFrame.from_ndarray(shifted, format="rgb24")
            frame.pts, frame.time_base = tick, TICKS
            times.append(float(tick * TICKS))
            tick += 1280 if index % 3 == 0 else 512
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        wave = np.sin(np.arange(int(48000 * tick * TICKS)) / 20).astype(np.float32)[None] / 3
        for start in range(0, wave.shape[1], 1024):
            piece = av.AudioFrame.from_ndarray(wave[:, start : start + 1024], "fltp", "mono")
            piece.sample_rate, piece.pts, piece.time_base = 48000, start, Fraction(1, 48000)
            out.mux(sound.encode(piece))
        out.mux(sound.encode(None))
        if text is not None:
            for packet in source.demux():
                if packet.pts is not None:
                    packet.stream = text
                    out.mux(packet)
    return times


def packets(path, kind):
    with av.open(str(path)) as clip:
        streams = [s for s in clip.streams if s.type == kind]
        return [
            (round(float(p.pts * p.time_base), 4), b"" if kind == "video" else bytes(p))
            for p in (clip.demux(streams) if streams else ())
            if p.pts is not None
        ]


def brightness(path):
    """Mean of the luma numbers of the first frame."""
    with av.open(str(path)) as clip:
        frame = next(clip.decode(video=0))
        return float(np.array(frame.planes[0]).reshape(-1, frame.planes[0].line_size).mean())


def lumas(path):
    """Luma planes as numbers, no conversion."""
    with av.open(str(path)) as clip:
        frames = [f.to_ndarray(format="gray") for f in clip.decode(video=0)]
        return np.stack(frames).astype(float)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov"])
def test_times_sound_and_subtitles_are_kept(suffix, tmp_path, network):
    source, target = tmp_path / f"clip{suffix}", tmp_path / f"out{suffix}"
    times = make_clip(source, subtitles=suffix == ".mkv")
    result = upscale_video(source, target, Enlarger(network(2)))
    assert result.frames == 20
    assert result.result_size == (96, 64)
    found = packets(target, "video")
    assert sorted(t for t, _ in found) == pytest.approx(times, abs=1e-3)
    assert packets(target, "audio") == packets(source, "audio")
    assert packets(target, "subtitle") == packets(source, "subtitle")
    if suffix == ".mkv":
        assert len(packets(target, "subtitle")) == 2
        with av.open(str(target)) as clip:
            assert clip.streams.audio[0].metadata["language"] == "fra"
    before, after = lumas(source), lumas(target)
    assert after.shape == (20, 64, 96)
    smaller = after.reshape(20, 32, 2, 48, 2).mean((2, 4))
    assert np.abs(smaller - before).mean() < 4
    assert abs(smaller.mean() - before.mean()) < 1, "colours drift"
    assert not state_of(target)


def test_other_scales_and_odd_sizes(tmp_path, network):
    source, target = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    make_clip(source, count=3, size=(34, 46))
    result = upscale_video(source, target, Enlarger(network(2), scale=1.5))
    assert result.result_size == (70, 52)  # 69 x 51 made even
    assert any("even" in note for note in result.notes)
    assert lumas(target).shape == (3, 52, 70)


def test_ten_bits_and_colour_tags(tmp_path, network):
    source, target = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    tags = {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 1}
    make_clip(source, count=2, pix_fmt="yuv420p10le", colours=tags)
    upscale_video(source, target, Enlarger(network(2)))
    with av.open(str(target)) as clip:
        context = clip.streams.video[0].codec_context
        assert context.format.name == "yuv420p10le"
        assert {tag: int(getattr(context, tag)) for tag in tags} == tags
    assert brightness(target) == pytest.approx(brightness(source), rel=0.1)


def test_pieces_are_gone_on_with(tmp_path, network, monkeypatch):
    """A process that is killed loses the piece it was at, and no frame comes twice."""
    monkeypatch.setattr(module, "SEGMENT_FRAMES", 6)
    source, target = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    times = make_clip(source)
    enlarger, calls = Enlarger(network(2)), []
    real = module.Pieces.write

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == 15:
            raise SystemExit  # as near to a kill as one process gets
        return real(*arguments)

    monkeypatch.setattr(module.Pieces, "write", counted)
    with pytest.raises(SystemExit):
        upscale_video(source, target, enlarger)
    assert state_of(target)
    assert not target.exists()
    calls.clear()
    calls += [0] * 100  # no further stop
    upscale_video(source, target, enlarger)
    assert len(calls) - 100 <= 8
    assert sorted(t for t, _ in packets(target, "video")) == pytest.approx(times, abs=1e-4)
    assert len(lumas(target)) == 20
    assert not state_of(target)


def test_pieces_of_another_network_are_not_used(tmp_path, network, monkeypatch):
    source, target = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    make_clip(source, count=4)
    parts_folder(target).mkdir()
    (parts_folder(target) / "state.json").write_text('{"identity": 1, "pieces": ["00000.nut"]}')
    upscale_video(source, target, Enlarger(network(2)))
    assert len(lumas(target)) == 4


@pytest.mark.slow
def test_ctrl_c_leaves_a_playable_file(tmp_path, weights):
    source, target = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    make_clip(source, count=300, size=(96, 128))
    command = [sys.executable, str(ROOT / "tools/upscale.py"), str(source), "-o", str(target)]
    command += ["--model", weights(2), "--backend", "torch"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    piece = parts_folder(target) / "00000.nut"
    deadline = time.monotonic() + 120
    while not (piece.exists() and piece.stat().st_size > 2000) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "goes on from here" in output
    part = len(lumas(target))
    assert 0 < part < 300
    assert 0 < len(packets(target, "audio")) < len(packets(source, "audio"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(lumas(target)) == 300
    assert packets(target, "audio") == packets(source, "audio")
    again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "there already" in again.stdout


def test_a_full_disk_while_a_piece_is_written(tmp_path, network, monkeypatch):
    source, target = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    make_clip(source)

    def full(self, packets):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.Pieces, "_mux", full)
        with pytest.raises(DiskFull, match="disk is full"):
            upscale_video(source, target, Enlarger(network(2)))
    assert not target.exists()
    assert upscale_video(source, target, Enlarger(network(2))).frames == 20


def test_a_truncated_clip_is_told(tmp_path, network):
    source, target = tmp_path / "clip.mkv", tmp_path / "out.mkv"
    make_clip(source, count=60)
    whole = source.read_bytes()
    assert not upscale_video(source, target, Enlarger(network(2))).notes
    source.write_bytes(whole[: len(whole) // 2])
    result = upscale_video(source, target, Enlarger(network(2)))
    assert 0 < result.frames < 60
    assert any("truncated" in note for note in result.notes), result.notes


def test_a_clip_that_ends_before_its_first_frame(tmp_path):
    path = tmp_path / "clip.mkv"
    make_clip(path)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75") + 20])  # all but the clusters
    with pytest.raises(UserError, match=r"clip\.mkv: no frame of it can be decoded"):
        probe(path)


def test_what_is_no_video(tmp_path, weights, capsys):
    (tmp_path / "text.mp4").write_text("no video")
    assert main(["upscale", str(tmp_path / "text.mp4"), "--model", weights(2)]) == 1
    assert "cannot be opened as a video" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"cannot write .xyz"):
        upscale_video(tmp_path / "a.mp4", tmp_path / "b.xyz", Enlarger(_identity()))


def _identity():
    class Net:
        scale, receptive_radius = 1, 0

        def __call__(self, x):
            return x

    return Net()


def plain_clip(path, rate, container=None, pix_fmt="yuv420p", codec="libx264", count=12, **options):
    """A clip of a constant rate, without sound."""
    with av.open(str(path), "w", format=container) as out:
        video = out.add_stream(codec, rate=rate, options=options)
        video.width, video.height, video.pix_fmt = 48, 32, pix_fmt
        for index in range(count):
            shifted = np.roll(scene(32, 48), index, axis=1)
            out.mux(video.encode(av.VideoFrame.from_ndarray(shifted, format="rgb24")))
        out.mux(video.encode(None))


@pytest.mark.parametrize(
    ("given", "suffix"), [(".mp4", ".mkv"), (".mkv", ".mp4"), (".avi", ".avi"), (".mkv", ".avi")]
)
def test_the_rate_is_declared_and_no_frame_is_lost(given, suffix, tmp_path):
    rate = Fraction(24000, 1001)
    source, target = tmp_path / f"clip{given}", tmp_path / f"out{suffix}"
    plain_clip(source, rate)
    assert upscale_video(source, target, Enlarger(Repeating())).frames == 12
    with av.open(str(target)) as clip:
        declared = clip.streams.video[0].average_rate
        assert float(declared) == pytest.approx(float(rate), rel=0.01)
        assert len(list(clip.decode(video=0))) == 12


def test_a_stream_that_is_lost_is_no_success(tmp_path, weights, capsys):
    make_clip(tmp_path / "clip.mkv", count=4, subtitles=True)
    command = ["upscale", str(tmp_path / "clip.mkv"), "-o", str(tmp_path / "out.avi")]
    command += ["--model", weights(2), "--backend", "torch"]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "written, but without its subtitles, which .avi cannot hold" in said.err
    assert main(command) == 1, "nor is it one the second time"
    assert "out.avi: is there already, without its subtitles" in capsys.readouterr().err
    with av.open(str(tmp_path / "out.avi")) as made:
        assert [stream.type for stream in made.streams] == ["video", "audio"]


def test_interlaced_clips(tmp_path, weights, capsys):
    """Told before the work begins; an option takes the combs away, and results say which it was."""
    source, out = tmp_path / "clip.mkv", tmp_path / "out.mp4"
    plain_clip(source, 25, **{"x264-params": "bff=1"})
    command = ["upscale", str(source), "-o", str(out), "--model", weights(2), "--backend", "torch"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert told.count("combs are enlarged, too; --deinterlace") == 1
    assert told.index("combs are") < told.index("out.mp4: 96x64")
    assert main([*command, "--deinterlace"]) == 1
    assert "made with the usual options, not with deinterlaced" in capsys.readouterr().err
    assert main([*command, "--deinterlace", "--overwrite"]) == 0
    assert "combs" not in capsys.readouterr().out


def two_videos(path, last, attachment=None):
    """A film with a small second video, or a cover picture."""
    with av.open(str(path), "w") as out:
        videos = [out.add_stream(codec, rate=25) for codec in ("libx264", last)]
        for video, size in zip(videos, (48, 32), strict=True):
            video.width = video.height = size
            video.pix_fmt = "rgb24" if video.name == "png" else "yuv420p"
        if last == "png":
            videos[1].disposition = av.stream.Disposition.attached_pic
        if attachment:
            out.add_attachment("font.ttf", "font/ttf", attachment)
        for video in videos:
            for index in range(1 if video.name == "png" else 3):
                frame = av.VideoFrame.from_ndarray(scene(video.height, video.width), format="rgb24")
                frame.pts = index
                out.mux(video.encode(frame))
            out.mux(video.encode(None))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_other_videos_covers_and_attachments(suffix, tmp_path):
    two_videos(tmp_path / "two.mkv", "mpeg4", b"letters")
    two_videos(tmp_path / "cover.mp4", "png")
    notes = []
    for source in ("two.mkv", "cover.mp4"):
        target = tmp_path / f"{source}{suffix}"
        result = upscale_video(tmp_path / source, target, Enlarger(Repeating()))
        assert not result.lost
        notes += result.notes
        with av.open(str(target)) as made:
            kept = source == "two.mkv" or suffix == ".mp4"
            assert [video.width for video in made.streams.video] == [96, 32][: 1 + kept]
            fonts = [stream.data for stream in made.streams if stream.type == "attachment"]
            assert fonts == [b"letters"] * (source == "two.mkv" and suffix == ".mkv")
    (note,) = notes
    assert ("video stream 1 (png)" if suffix == ".mkv" else "attachment stream 2") in note
    assert f"was left out: {suffix} cannot hold it" in note


def test_a_name_that_looks_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain_clip(tmp_path / "clip.mkv", 25, count=2)
    (tmp_path / "clip.mkv").rename("data:a.mkv")
    assert upscale_video(Path("data:a.mkv"), Path("x:y.mp4"), Enlarger(Repeating())).frames == 2


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_becomes_a_video(name, tmp_path, weights):
    frames = [Image.fromarray(np.roll(scene(20, 30), 3 * step, 1)) for step in range(4)]
    options = {"save_all": True, "append_images": frames[1:], "duration": [50, 100, 150, 200]}
    frames[0].save(tmp_path / name, loop=0, **options)
    command = ["upscale", str(tmp_path / name), "-o", str(tmp_path / "out.mkv")]
    assert main([*command, "--model", weights(2), "--backend", "torch"]) == 0
    times = [time for time, _ in packets(tmp_path / "out.mkv", "video")]
    assert sorted(times) == pytest.approx([0, 0.05, 0.15, 0.3])


@pytest.mark.parametrize(
    ("name", "container"),
    [("clip.vob", "vob"), ("clip.flv", "flv"), ("film", "matroska"), ("clip.nut", "nut")],
)
def test_films_are_told_by_content(name, container, tmp_path, weights):
    codec = "mpeg2video" if container == "vob" else "libx264"
    plain_clip(tmp_path / name, 25, container, codec=codec)
    command = ["upscale", str(tmp_path / name), "-o", f"{tmp_path}/out/", "--model", weights(2)]
    assert main([*command, "--backend", "torch"]) == 0
    assert probe(next((tmp_path / "out").iterdir())).size == (64, 96)
