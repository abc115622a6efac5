"""Kinds of films through `superres upscale`, for docs/formats.md; see `formats`.

A film is made by PyAV, upscaled by repeating pixels, and its result read by PyAV again: the frames'
number, times and pixels, transparency, the format of the samples, the declared rate, the sound.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import namedtuple
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
from PIL import Image

from superres.errors import UserError
from superres.upscaling.tiled_upscaler import TiledUpscaler
from superres.upscaling.video import upscale_video

INTRODUCTION = """## Films and animations

Each made and read again by PyAV (or Pillow), upscaled by repeating pixels. *right*: the same
frames at the same times, their pixels within 5 levels of 255 in the mean, transparency, depth,
chroma, the declared rate, and sound as long as the film.
"""
HEAD = ["file", "codec", "pixels", "sound", "also", "to", "pixels, sound there", "result", "said"]
SIZE = 32, 48
COUNT = 8
# Counterclockwise degrees and mirrors as a container states them, and what then is upright.
TURNS = {
    "turned 90": ((90, False, False), lambda x: np.rot90(x, 1)),
    "turned 180": ((180, False, False), lambda x: np.rot90(x, 2)),
    "turned 270": ((-90, False, False), lambda x: np.rot90(x, 3)),
    "mirrored": ((0, True, False), lambda x: x[:, ::-1]),
    "upside down": ((0, False, True), lambda x: x[::-1]),
    "mirrored and turned": ((90, True, False), lambda x: np.rot90(x, 1)[:, ::-1]),
}


class Repeating:
    """Each pixel four times: a network whose result is known."""

    scale, receptive_radius, device, name, bytes_per_pixel = 2, 1, "cpu", "repeating", 64.0
    in_channels = 3
    notes: tuple[str, ...] = ()

    def run(self, x: np.ndarray) -> np.ndarray:
        """(N, C, h, w) to (N, C, 2 h, 2 w)."""
        return x.repeat(2, 2).repeat(2, 3)


# A film to make, and what its result is to be. codec: and its options; "Pillow" for an animation;
# pixels, sound: FFmpeg's names; also: "varying", "interlaced", "deinterlaced", "srt" or a key of
# TURNS; target: the result's suffix; kept, heard: the result's pixels and sound.
Film = namedtuple("Film", "suffix codec pixels sound also target kept heard")
X264, VP9, MPEG2 = "libx264 qp=0", "libvpx-vp9 lossless=1", "mpeg2video qmax=2"
FILMS = [
    *(Film(".mp4", X264, "yuv420p", "aac", "", *to) for to in (
        (".mp4", "yuv420p", "aac"), (".webm", "yuv420p", "opus"), (".avi", "yuv420p", "aac"),
        (".ts", "yuv420p", "aac"))),
    Film(".mkv", X264, "yuv420p", "flac", "", ".avi", "yuv420p", "flac"),
    Film(".mkv", X264, "yuv420p", "pcm_s16le", "", ".ts", "yuv420p", "aac"),
    Film(".mkv", X264, "yuv420p", "libmp3lame", "varying", ".mp4", "yuv420p", "mp3"),
    Film(".mkv", X264, "yuv420p", "aac", "srt", ".mkv", "yuv420p", "aac"),
    Film(".mkv", X264, "yuv420p", "aac", "srt", ".webm", "yuv420p", "opus"),
    *(Film(".mkv", X264, pixels, "", "", to, kept, "") for pixels, to, kept in (
        ("yuv422p", ".mkv", "yuv422p"), ("yuv444p", ".mp4", "yuv444p"),
        ("yuv444p", ".webm", "yuv444p"), ("yuv420p10le", ".mp4", "yuv420p10le"),
        ("yuv422p10le", ".mov", "yuv422p10le"), ("yuv444p10le", ".webm", "yuv444p"))),
    *(Film(".mkv", "ffv1", pixels, "", "", to, kept, "") for pixels, to, kept in (
        ("yuv420p12le", ".mkv", "yuv420p10le"), ("bgr0", ".mkv", "yuv444p"),
        ("gray", ".mkv", "yuv420p"), ("yuva420p", ".mkv", "yuva420p"),
        ("yuva420p", ".webm", "yuva420p"), ("yuva444p10le", ".mov", "yuva444p12le"))),
    Film(".webm", VP9, "yuva420p", "libopus", "", ".webm", "yuva420p", "opus"),
    Film(".webm", VP9, "yuva420p", "libopus", "", ".mp4", "yuv420p", "opus"),
    Film(".mov", "prores_ks", "yuv422p10le", "pcm_s24le", "", ".mov", "yuv422p10le", "pcm_s24le"),
    Film(".mov", "prores_ks", "yuva444p10le", "", "", ".avi", "yuva444p10le", ""),
    Film(".avi", "mpeg4 qscale=1", "yuv420p", "libmp3lame", "", ".avi", "yuv420p", "mp3"),
    Film(".wmv", "wmv2", "yuv420p", "wmav2", "", ".mkv", "yuv420p", "aac"),
    Film(".flv", X264, "yuv420p", "aac", "", ".mkv", "yuv420p", "aac"),
    Film(".3gp", X264, "yuv420p", "aac", "", ".mp4", "yuv420p", "aac"),
    Film(".y4m", "wrapped_avframe", "yuv420p", "", "", ".mkv", "yuv420p", ""),
    Film(".ivf", VP9, "yuv420p", "", "", ".webm", "yuv420p", ""),
    Film(".264", X264, "yuv420p", "", "", ".mp4", "yuv420p", ""),
    Film(".mpg", MPEG2, "yuv420p", "mp2", "", ".mkv", "yuv420p", "mp2"),
    Film(".vob", f"{MPEG2} flags=+ildct", "yuv420p", "mp2", "interlaced", ".mkv", "yuv420p", "mp2"),
    Film(".ts", f"{X264} x264-params=bff=1", "yuv420p", "", "deinterlaced", ".mp4", "yuv420p", ""),
    *(Film(".mp4", X264, "yuv420p", "aac", turn, ".mp4", "yuv420p", "aac") for turn in TURNS),
    *(Film(suffix, "Pillow", "rgba", "", "", to, kept, "") for suffix, to, kept in (
        (".gif", ".mp4", "yuv444p"), (".webp", ".webm", "yuva420p"),
        (".png", ".mov", "yuva444p12le"), (".gif", ".mkv", "yuva444p"))),
]  # fmt: skip


def images(alpha: bool, count: int = COUNT) -> np.ndarray:
    """(count, H, W, 3 or 4) in [0, 1]: smooth, moving to the right."""
    step, y, x, c = np.mgrid[:count, : SIZE[0], : SIZE[1], :3]
    found = 0.5 + 0.3 * np.sin((x - 3 * step) / 7 + c) * np.cos(y / (9 - c))
    return np.concatenate([found, x[..., :1] > 11], 3) if alpha else found


def make(path: Path, film: Film, count: int = COUNT) -> list[float]:
    """Write the film, of so many frames; their times in seconds."""
    alpha = "a" in film.pixels.replace("gray", "")
    shown = np.rint(images(alpha, count) * 255).astype(np.uint8)
    lengths = [1 + (step % 3 == 0 and "varying" in film.also) for step in range(count)]
    times = [start / 25 for start in itertools.accumulate(lengths, initial=0)][:-1]
    if film.codec == "Pillow":
        first, *rest = map(Image.fromarray, shown)
        options = {"lossless": True} if film.suffix == ".webp" else {"disposal": 2}
        first.save(path, save_all=True, append_images=rest, duration=40, loop=0, **options)
        return times
    if film.also in ("interlaced", "deinterlaced"):  # upper fields are of the next moment
        shown[:-1, ::2] = shown[1:, ::2]
    codec, *options = film.codec.split()
    kinds = {".y4m": "yuv4mpegpipe", ".264": "h264"}
    with av.open(str(path), "w", format=kinds.get(film.suffix)) as out:
        video = out.add_stream(codec, rate=25)
        video.options = dict(option.split("=", 1) for option in options)
        video.width, video.height, video.pix_fmt = SIZE[1], SIZE[0], film.pixels
        video.codec_context.time_base = Fraction(1, 25)
        video.codec_context.max_b_frames = 0
        if film.also in TURNS:
            video.set_display_rotation(*TURNS[film.also][0])
        streams = [video]
        if film.sound:
            streams.append(out.add_stream(film.sound, rate=48000, layout="stereo", bit_rate=96_000))
            streams[1].metadata["language"] = "fra"
        if "srt" in film.also:
            path.with_suffix(".srt").write_text("1\n00:00:00,100 --> 00:00:00,200\nOne\n")
            text = av.open(str(path.with_suffix(".srt")))
            streams.append(out.add_stream_from_template(text.streams[0]))
        for pixels, time in zip(shown, times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba" if alpha else "rgb24")
            frame.pts, frame.time_base = round(time * 25), Fraction(1, 25)
            frame = frame.reformat(format=film.pixels)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if film.sound:
            wave = np.sin(np.arange(48000 * sum(lengths) // 25) / 20).astype(np.float32) / 3
            sound = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
            sound.sample_rate, sound.pts = 48000, 0
            out.mux(streams[1].encode(sound))
            out.mux(streams[1].encode(None))
        if "srt" in film.also:
            for packet in text.demux():
                if packet.pts is not None:
                    packet.stream = streams[-1]
                    out.mux(packet)
    return times


def read(path: Path, alpha: bool) -> SimpleNamespace:
    """By PyAV alone, as it converts by default."""
    with av.open(str(path)) as file:
        video, sounds = file.streams.video[0], file.streams.audio
        decoder = video.codec_context
        if alpha and decoder.name == "vp9":
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames, heard, texts = [], [np.zeros(0)], 0
        for packet in file.demux():
            if packet.stream is video:
                frames += decoder.decode(packet)
            elif packet.stream.type == "audio":
                heard += [frame.to_ndarray().reshape(-1).astype(float) for frame in packet.decode()]
            else:
                texts += packet.stream.type == "subtitle" and packet.size > 0
        pixels = [frame.to_ndarray(format="rgba" if alpha else "rgb24") for frame in frames]
        return SimpleNamespace(
            frames=np.stack(pixels).astype(float), times=[float(frame.time) for frame in frames],
            rate=float(video.average_rate or 0), pixels=frames[0].format.name, texts=texts,
            interlaced=any(frame.interlaced_frame for frame in frames),
            sound=sounds[0].codec_context.name if sounds else "", heard=np.concatenate(heard),
        )  # fmt: skip


def judged(film: Film, times: list[float], made: SimpleNamespace) -> str:
    """What is wrong with a result; ``right`` where nothing is."""
    alpha = "a" in film.kept
    right = images("a" in film.pixels.replace("gray", "")) * 255
    if film.pixels == "gray":
        right = np.repeat((right @ (0.299, 0.587, 0.114))[..., None], 3, 3)
    if right.shape[3] == 4 and not alpha:
        right = right[..., :3] * right[..., 3:] / 255 + 255 - right[..., 3:]
    if film.also in TURNS:
        right = np.stack([TURNS[film.also][1](frame) for frame in right])
    wanted = right.repeat(2, 1).repeat(2, 2)
    if made.frames.shape != wanted.shape:
        return f"SILENT: {made.frames.shape}, not {wanted.shape}"
    gap = np.abs(made.frames - wanted)
    if alpha:
        gap[..., :3] *= wanted[..., 3:] > 0
    faults = [f"{gap.mean():.1f} levels"] * bool(gap.mean() > 5 and film.also != "interlaced")
    start = made.times[0]
    late = max(abs(a - start - b) for a, b in zip(made.times, times, strict=True))
    faults += [f"times differ by {late:.3f} s"] * (late > 0.0021)
    faults += [f"{made.rate:g} frames a second"] * ("varying" not in film.also and made.rate != 25)
    faults += [f"stored as {made.pixels}"] * (made.pixels != film.kept)
    faults += ["flagged interlaced"] * made.interlaced
    faults += [f"sound is {made.sound!r}"] * (made.sound.removesuffix("float") != film.heard)
    faults += ["a subtitle is missing"] * ("srt" in film.also and not made.texts)
    if film.heard:
        seconds = len(made.heard) / 96000
        faults += [f"{seconds:.2f} s of sound"] * (abs(seconds - times[-1] - 0.04) > 0.12)
        faults += ["silence"] * bool(np.abs(made.heard).mean() < 0.1 * np.abs(made.heard).max())
    return f"SILENT: {'; '.join(faults)}" if faults else "right"


def rows() -> list[list[str]]:
    """The table's rows, see `HEAD`."""
    found = []
    for film in FILMS:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / f"a{film.suffix}", Path(folder) / f"b{film.target}"
            times, said = make(source, film), ""
            try:
                how = {"deinterlace": film.also == "deinterlaced"}
                done = upscale_video(source, target, TiledUpscaler(Repeating()), **how)
                said = "; ".join(done.notes)
                result = judged(film, times, read(target, "a" in film.kept))
                if done.lost:
                    result = f"exit code 1: {', '.join(done.lost)}"
                elif film.also == "interlaced" and "interlaced" not in said:
                    result = "SILENT: interlaced"
            except UserError as error:
                result = f"refused: {str(error).replace(f'{folder}/', '')}"
        words = film._replace(codec=film.codec.split(" ")[0], kept=f"{film.kept} {film.heard}")
        found.append([*words[:7], result, said])
    return found
