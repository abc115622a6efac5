"""Frames in and out of video files, with their times and colours. Needs PyAV."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from superres.errors import UserError

_H264 = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".ts": "mpegts"}
CONTAINERS = {suffix: (name, "libx264") for suffix, name in (*_H264.items(), (".avi", "avi"))}
CONTAINERS[".webm"] = ("webm", "libvpx-vp9")
"""Suffix -> (container, video codec) of what can be written."""

_BT601, _BT709, _UNKNOWN = 5, 1, 2  # matrix coefficients of H.273
_STUDIO, _FULL = 1, 2  # ranges
_EXACT = {"interpolation": 4 | 0x40000 | 0x4000 | 0x2000}
"""Of libswscale: bicubic chroma, accurate rounding, chroma of every pixel in and out."""
_COLOUR_TAGS = ("color_primaries", "color_trc", "colorspace", "color_range")


def import_av() -> Any:
    """PyAV; UserError where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise UserError("videos need PyAV: pip install 'superres[video]' (or av)") from error
    # Any level makes decoder threads take Python's lock to log, while whoever closes the decoder
    # holds it and waits for them.
    av.logging.set_level(None)
    return av


@dataclass
class Clip:
    """What is known of a video before it is decoded.

    Attributes:
        time_base: seconds per tick of the frames' times.
        rate: frames per second, on average.
        frames: about how many there are.
        seconds: of the whole file, by its head; 0 where it does not say.
        size: (height, width) as displayed, rotation applied.
        deep: more than 8 bits per sample.
        aspect: width over height of a pixel, as decoded; None where it is square or unknown.
    """

    path: Path
    time_base: Fraction
    rate: Fraction
    frames: int
    seconds: float
    size: tuple[int, int]
    deep: bool
    aspect: Fraction | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class Frame:
    """(H, W, 3) uint8, or uint16 of deep clips, upright; its time and length in ticks."""

    pixels: np.ndarray
    pts: int
    duration: int
    colours: dict[str, int]
    interlaced: bool = False


def open_clip(path: Path) -> Any:
    """An open container; close it. UserError where it is no video."""
    av = import_av()
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be opened as a video ({reason})") from None
    if video_stream(container) is None:
        container.close()
        raise UserError(f"{path}: has no video in it")
    return container


def video_stream(container: Any) -> Any:
    """The first video stream that is no cover picture."""
    cover = import_av().stream.Disposition.attached_pic
    return next((s for s in container.streams.video if not s.disposition & cover), None)


def probe(path: Path) -> Clip:
    """What a clip is like, from its head and its first frame.

    Raises:
        UserError: not a video, or not one frame of it can be decoded.
    """
    with open_clip(path) as container:
        stream = video_stream(container)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        seconds = float((stream.duration or 0) * stream.time_base)
        seconds = seconds or float(container.duration or 0) / 1e6
        count = stream.frames or round(seconds * rate) or 1
        format = stream.codec_context.format  # None where not a frame of it is whole
        deep = format is not None and any(c.bits > 8 for c in format.components)
        time_base, aspect = stream.time_base, stream.sample_aspect_ratio
        stored = (stream.height, stream.width)
    components, notes = format.components if format else (), []
    if any(c.is_alpha for c in components):
        notes.append("its transparency is lost")
    if components and (format.is_rgb or (len(components) > 1 and format.chroma_height(16) == 16)):
        notes.append("its colours are stored with half the lines and columns (4:2:0)")
    for frame in frames(path, None, deep, []):
        size = frame.pixels.shape[:2]
        if aspect and size == stored[::-1] != stored:  # turned by a quarter
            aspect = 1 / aspect
        if frame.interlaced:
            notes.append("interlaced: its combs are enlarged, too; deinterlace it first")
        return Clip(path, time_base, rate, count, seconds, size, deep, aspect or None, notes)
    raise UserError(f"{path}: no frame of it can be decoded")


def frames(path: Path, after: int | None, deep: bool, notes: list[str]) -> Iterator[Frame]:
    """The frames later than ``after`` (ticks) in order; damaged ones are left out and noted."""
    av = import_av()
    with open_clip(path) as container:
        stream = video_stream(container)
        stream.thread_type = "AUTO"
        # AVI gives times in the order of decoding, raw streams none: there frames are counted.
        counted = container.format.name in ("avi", "h264", "hevc", "m4v", "mpegvideo")
        if after is not None and not counted:
            _seek(container, stream, after)
        last, broken, number = after, 0, 0
        step = round(1 / ((stream.average_rate or 25) * stream.time_base)) or 1
        packets = container.demux(stream)
        while broken <= 1000:
            try:
                packet = next(packets, None)
                decoded = packet.decode() if packet is not None else None
            except av.error.InvalidDataError:
                broken += 1
                continue
            if decoded is None:
                break
            for frame in decoded:
                pts = number * step if counted else frame.pts
                number += 1
                if pts is None:
                    pts = 0 if last is None else last + step
                if last is None or pts > last:
                    last = pts
                    yield _frame(frame, pts, frame.duration or step, deep)
        if broken:
            notes.append(f"{broken} damaged packets were left out")


def _seek(container: Any, stream: Any, after: int) -> None:
    """Go near to a time, before it; from the start where the file cannot."""
    with contextlib.suppress(OSError):  # PyAV's errors are OSErrors
        container.seek(after, stream=stream, backward=True)
        first = next((f for f in container.decode(stream)), None)
        if first is not None and first.pts is not None and first.pts <= after:
            container.seek(after, stream=stream, backward=True)
            return
    container.seek(stream.start_time or 0, stream=stream, backward=True)


def _frame(frame: Any, pts: int, duration: int, deep: bool) -> Frame:
    colours = {tag: int(getattr(frame, tag)) for tag in _COLOUR_TAGS}
    full = colours["color_range"] == _FULL or frame.format.name.startswith("yuvj")
    colours["color_range"] = _FULL if full else _STUDIO
    pixels = frame.reformat(
        format="rgb48le" if deep else "rgb24",
        src_colorspace=_space(colours, frame.height),
        src_color_range=colours["color_range"],
        dst_color_range=_FULL,
        **_EXACT,
    ).to_ndarray()
    if frame.rotation % 360:
        pixels = np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
    return Frame(pixels, pts, duration, colours, bool(frame.interlaced_frame))


def _space(colours: dict[str, int], height: int) -> int:
    """The matrix between RGB and YCbCr: as tagged, else as players guess it."""
    if colours["colorspace"] in (_UNKNOWN, 0):
        return _BT709 if height >= 720 else _BT601
    return colours["colorspace"]


_ENCODERS = {  # force-cfr: else x264 declares the time base as its rate
    "libx264": "crf=17 preset=medium bf=0 x264-params=force-cfr=1",
    "libvpx-vp9": "crf=24 b=0 lag-in-frames=0 cpu-used=4 auto-alt-ref=0 row-mt=1 deadline=good",
}


class SegmentWriter:
    """A piece of the upscaled video in a file of its own, that can be joined with others.

    No frame refers to one that is shown later, so the times of joined pieces always grow.

    Args:
        frame: the first, for the colours of the stream.
        size: (height, width).
    """

    def __init__(
        self, path: Path, clip: Clip, frame: Frame, size: tuple[int, int], codec: str
    ) -> None:
        self._container = import_av().open(str(path), "w", format="nut")
        self._clip, self._durations = clip, dict[int, int]()
        self._stream = stream = self._container.add_stream(codec, rate=clip.rate)
        context = stream.codec_context
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p10le" if clip.deep else "yuv420p"
        stream.time_base = context.time_base = clip.time_base
        context.options = dict(option.split("=", 1) for option in _ENCODERS[codec].split())
        for tag, value in frame.colours.items():
            setattr(context, tag, value)
        if clip.aspect:
            context.sample_aspect_ratio = clip.aspect

    def write(self, frame: Frame, pixels: np.ndarray) -> None:
        """Add a frame with the time of ``frame`` and these pixels."""
        given = "rgb48le" if self._clip.deep else "rgb24"
        made = import_av().VideoFrame.from_ndarray(pixels, format=given)
        made = made.reformat(
            format=self._stream.pix_fmt,
            src_color_range=_FULL,
            dst_colorspace=_space(frame.colours, self._clip.size[0]),
            dst_color_range=frame.colours["color_range"],
            **_EXACT,
        )
        for tag, value in frame.colours.items():
            setattr(made, tag, value)
        made.pts, made.time_base, made.duration = frame.pts, self._clip.time_base, frame.duration
        self._durations[frame.pts] = frame.duration
        self._mux(self._stream.encode(made))

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.dts = packet.pts
            packet.duration = self._durations.pop(packet.pts, packet.duration)
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the piece."""
        self._mux(self._stream.encode(None))
        self._container.close()
