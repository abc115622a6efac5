"""Videos: times, sound, subtitles, colours, interruptions. Clips are made here with PyAV."""

from __future__ import annotations

import errno
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maintain.films import Film, Repeating, make
from superres.cli.main import main
from superres.errors import UserError
from superres.upscaling import video as module
from superres.upscaling.tiled_upscaler import TiledUpscaler
from superres.upscaling.video import state_of, upscale_video
from superres.upscaling.video_reading import probe
from superres.upscaling.writing import DiskFull

from .conftest import scene

av = pytest.importorskip("av")


def make_clip(path, count=20, codec="libx264", pixels="yuv420p", also="varying"):
    """Frames of varying length and a tone; gives the frames' times in seconds."""
    codec, sound = ("libvpx-vp9", "libopus") if path.suffix == ".webm" else (codec, "aac")
    return make(path, Film(path.suffix, codec, pixels, sound, also, "", "", ""), count)


def packets(path, kind):
    with av.open(str(path)) as clip:
        streams = [s for s in clip.streams if s.type == kind]
        return [
            (round(float(p.pts * p.time_base), 4), b"" if kind == "video" else bytes(p))
            for p in (clip.demux(streams) if streams else ())
            if p.pts is not None
        ]


def lumas(path):
    """Luma planes as numbers, no conversion."""
    with av.open(str(path)) as clip:
        frames = [f.to_ndarray(format="gray") for f in clip.decode(video=0)]
        return np.stack(frames).astype(float)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov"])
def test_times_sound_and_subtitles_are_kept(suffix, tmp_path, network):
    source, target = tmp_path / f"clip{suffix}", tmp_path / f"out{suffix}"
    times = make_clip(source, also="varying srt" if suffix == ".mkv" else "varying")
    result = upscale_video(source, target, TiledUpscaler(network(2)))
    assert result.frames == 20
    assert result.result_size == (96, 64)
    found = packets(target, "video")
    assert sorted(t for t, _ in found) == pytest.approx(times, abs=1e-3)
    assert packets(target, "audio") == packets(source, "audio")
    assert packets(target, "subtitle") == packets(source, "subtitle")
    if suffix == ".mkv":
        assert len(packets(target, "subtitle")) == 1
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
    make_clip(source, count=3)
    result = upscale_video(source, target, TiledUpscaler(network(2), scale=1.53))
    assert result.result_size == (74, 50)  # 73 x 49 made even
    assert any("even" in note for note in result.notes)
    assert lumas(target).shape == (3, 50, 74)


def test_ten_bits_and_colour_tags(tmp_path, network):
    source, target = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    tags = {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 1}
    codec = "libx264 x264-params=colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    make_clip(source, 2, codec, "yuv420p10le")
    upscale_video(source, target, TiledUpscaler(network(2)))
    with av.open(str(target)) as clip:
        context = clip.streams.video[0].codec_context
        assert context.format.name == "yuv420p10le"
        assert {tag: int(getattr(context, tag)) for tag in tags} == tags
    assert lumas(target).mean() == pytest.approx(lumas(source).mean(), rel=0.1)


def test_pieces_are_gone_on_with(tmp_path, network, monkeypatch):
    """A process that is killed loses the piece it was at, and no frame comes twice."""
    monkeypatch.setattr(module, "SEGMENT_FRAMES", 6)
    source, target = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    times = make_clip(source)
    enlarger, calls = TiledUpscaler(network(2)), []
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
    calls[:] = [0] * 100  # no further stop
    upscale_video(source, target, enlarger)
    assert len(calls) == 106, "the 14 that were written are kept"
    assert sorted(t for t, _ in packets(target, "video")) == pytest.approx(times, abs=1e-4)
    assert packets(target, "audio") == packets(source, "audio")
    assert len(lumas(target)) == 20
    assert not state_of(target)


def test_a_full_disk_while_a_piece_is_written(tmp_path, network, monkeypatch):
    source, target = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    make_clip(source)

    def full(self, packets):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.Pieces, "_mux", full)
        with pytest.raises(DiskFull, match="disk is full"):
            upscale_video(source, target, TiledUpscaler(network(2)))
    assert not target.exists()
    assert upscale_video(source, target, TiledUpscaler(network(2))).frames == 20


def test_a_truncated_clip_is_told(tmp_path, network, weights, capsys):
    source, target = tmp_path / "clip.mkv", tmp_path / "out.mkv"
    make_clip(source, count=60)
    whole = source.read_bytes()
    assert not upscale_video(source, target, TiledUpscaler(network(2))).notes
    source.write_bytes(whole[: len(whole) // 2])
    result = upscale_video(source, target, TiledUpscaler(network(2)))
    assert 0 < result.frames < 60
    command = ["upscale", str(source), "-o", str(tmp_path / "again.mkv"), "--model", weights(2)]
    for words in ("written, but", "is there already,"):
        assert main([*command, "--backend", "torch"]) == 1
        assert f"again.mkv: {words} with images that end at" in capsys.readouterr().err
    source.write_bytes(whole[: whole.index(b"\x1f\x43\xb6\x75") + 20])  # all but the clusters
    with pytest.raises(UserError, match=r"clip\.mkv: no frame of it can be decoded"):
        probe(source)


def test_what_is_no_video(tmp_path, weights, capsys):
    for text, said in (("no video", "cannot be opened as a video"), ("", "an empty file")):
        (tmp_path / "text.mp4").write_text(text)
        assert main(["upscale", str(tmp_path / "text.mp4"), "--model", weights(2)]) == 1
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.flv", "a.gif", "a.mpg", "a.ogv", "a.xyz"])
def test_what_a_film_cannot_be_written_to(name, tmp_path, weights, capsys):
    command = ["upscale", str(plain_clip(tmp_path / "clip.mkv")), "--model", weights(2)]
    assert main([*command, "-o", str(tmp_path / name)]) == 2
    assert ".mp4 .m4v .mov .mkv" in capsys.readouterr().err
    assert main([*command, "--format", "png"]) == 2
    assert "clip.mkv: a film; --format is of images" in capsys.readouterr().err


def plain_clip(path, codec="libx264", **changes):
    """A clip of 25 frames a second, without sound."""
    make(path, Film(path.suffix, codec, "yuv420p", "", "", "", "", "")._replace(**changes))
    return path


def test_a_stream_that_is_lost_is_no_success(tmp_path, weights, capsys):
    make_clip(tmp_path / "clip.mkv", count=4, also="srt")
    command = ["upscale", str(tmp_path / "clip.mkv"), "-o", str(tmp_path / "out.avi")]
    command += ["--model", weights(2), "--backend", "torch"]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "written, but without its subtitles (.mkv holds them)" in said.err
    assert main(command) == 1, "nor is it one the second time"
    assert "out.avi: is there already, without its subtitles" in capsys.readouterr().err
    with av.open(str(tmp_path / "out.avi")) as made:
        assert [stream.type for stream in made.streams] == ["video", "audio"]


def test_interlaced_clips(tmp_path, weights, capsys):
    """Told before the work begins; an option takes the combs away, and results say which it was."""
    source, out = tmp_path / "clip.mkv", tmp_path / "out.mp4"
    plain_clip(source, "libx264 x264-params=bff=1")
    command = ["upscale", str(source), "-o", str(out), "--model", weights(2), "--backend", "torch"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert told.count("combs are upscaled, too; --deinterlace") == 1
    assert told.index("combs are") < told.index("out.mp4: 96x64")
    assert main([*command, "--deinterlace"]) == 1
    assert "made otherwise: options none, not deinterlaced" in capsys.readouterr().err
    assert main([*command, "--deinterlace", "--overwrite"]) == 0
    assert "combs" not in capsys.readouterr().out


def two_videos(path, last, attachment=None):
    """A film with a small second video, or a cover image."""
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
        result = upscale_video(tmp_path / source, target, TiledUpscaler(Repeating()))
        assert len(result.lost) == (source == "two.mkv")
        notes += result.notes
        with av.open(str(target)) as made:
            kept = source == "two.mkv" or suffix == ".mp4"
            assert [video.width for video in made.streams.video] == [96, 32][: 1 + kept]
            fonts = [stream.data for stream in made.streams if stream.type == "attachment"]
            assert fonts == [b"letters"] * (source == "two.mkv" and suffix == ".mkv")
    (note,) = notes
    assert ("video stream 1 (png)" if suffix == ".mkv" else "attachment stream 2") in note
    assert f"was left out: {suffix} cannot hold it" in note


def timed(path, times, rate):
    """Frames at these times, which a container rounds as it does."""
    with av.open(str(path), "w") as out:
        counts = path.suffix == ".avi"
        video = out.add_stream("mpeg4" if counts else "libx264", rate=rate)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        video.codec_context.time_base = 1 / rate if counts else Fraction(1, 90000)
        for time in times:
            frame = av.VideoFrame.from_ndarray(scene(32, 48), format="rgb24")
            frame.pts, frame.time_base = round(time * 90000), Fraction(1, 90000)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))


@pytest.mark.parametrize("rate", [Fraction(30), Fraction(24000, 1001)])
@pytest.mark.parametrize("name", ["even.mkv", "uneven.mkv", "gaps.avi"])
def test_a_constant_rate_is_not_milliseconds(name, rate, tmp_path):
    steps = {"even.mkv": range(9), "gaps.avi": (0, 1, 4, 5, 9)}
    times = [step / rate for step in steps.get(name, (0, 0.5, 1.3, 4))]
    timed(tmp_path / name, times, rate)
    upscale_video(tmp_path / name, tmp_path / "out.mp4", TiledUpscaler(Repeating()))
    with av.open(str(tmp_path / "out.mp4")) as made:
        assert name != "even.mkv" or made.streams.video[0].average_rate == rate
        found = [frame.pts * frame.time_base for frame in made.decode(video=0)]
    if name != "uneven.mkv":
        assert found == times
    assert [float(time) for time in found] == pytest.approx([float(t) for t in times], abs=0.0006)


def test_sound_and_pictures_of_an_avi_begin_together(tmp_path):
    make_clip(tmp_path / "clip.mp4", count=8, also="")  # whose sound begins before 0
    upscale_video(tmp_path / "clip.mp4", tmp_path / "out.avi", TiledUpscaler(Repeating()))
    with av.open(str(tmp_path / "out.avi"), options={"fflags": "-genpts"}) as made:
        times = [[p.dts for p in made.demux() if p.size and p.stream.type == "video"]]
    assert times == [list(range(8))]


def test_content_decides_and_is_told(tmp_path, weights, capsys):
    plain_clip(tmp_path / "clip.mkv").rename(tmp_path / "film.png")
    Image.fromarray(scene()).save(tmp_path / "image.png")
    (tmp_path / "image.png").rename(tmp_path / "image.mp4")
    names = ["film.png", "image.mp4"]
    command = ["upscale", *(str(tmp_path / name) for name in names), "--model", weights(2)]
    assert main([*command, "--backend", "torch"]) == 0
    said = capsys.readouterr().out
    assert "film.png: a film by its content" in said
    assert "image.mp4: an image by its content" in said
    assert probe(tmp_path / "film_x2.mkv").size == (64, 96)
    assert Image.open(tmp_path / "image_x2.png").size == (112, 80)


def test_a_name_that_looks_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain_clip(tmp_path / "clip.mkv").rename("data:a.mkv")
    assert (
        upscale_video(Path("data:a.mkv"), Path("x:y.mp4"), TiledUpscaler(Repeating())).frames == 8
    )


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_becomes_a_video(name, tmp_path, weights):
    frames = [Image.fromarray(np.roll(scene(20, 30), 3 * step, 1)) for step in range(4)]
    options = {"save_all": True, "append_images": frames[1:], "duration": [50, 100, 150, 200]}
    frames[0].save(tmp_path / name, loop=0, **options)
    command = ["upscale", str(tmp_path / name), "-o", str(tmp_path / "out.mkv")]
    assert main([*command, "--model", weights(2), "--backend", "torch"]) == 0
    times = [time for time, _ in packets(tmp_path / "out.mkv", "video")]
    assert sorted(times) == pytest.approx([0, 0.05, 0.15, 0.3])


@pytest.mark.parametrize("made", ["clip.vob", "clip.flv", "clip.mkv", "clip.nut"])
def test_films_are_told_by_content(made, tmp_path, weights):
    codec = "mpeg2video" if made == "clip.vob" else "libx264"
    plain_clip(tmp_path / made, codec).rename(tmp_path / "film")
    command = ["upscale", str(tmp_path / "film"), "-o", f"{tmp_path}/out/", "--model", weights(2)]
    assert main([*command, "--backend", "torch"]) == 0
    assert probe(next((tmp_path / "out").iterdir())).size == (64, 96)
