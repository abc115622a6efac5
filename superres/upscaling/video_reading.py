"""Films and animations as frames, with their times and colours. Films need PyAV."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageSequence

from superres.errors import UserError
from superres.imaging.io import image_header, max_pixels_allowed, opened_image
from superres.imaging.kinds import first_bytes, is_junk, kind_of

ANIMATED = {".gif": "gif", ".apng": "png", ".png": "png", ".webp": "webp"}
"""Suffix -> format of what can hold an animation."""
COVER = 0x400
"""FFmpeg's mark of a stream that is an image to show for the file."""
BT601, BT709, STUDIO, FULL = 5, 1, 1, 2
"""Matrix coefficients of H.273, and ranges."""
EXACT = {"interpolation": 4 | 0x40000 | 0x4000 | 0x2000}
"""Of libswscale: bicubic chroma, accurate rounding, chroma of every pixel in and out."""
INTERLACED = "interlaced: its combs are upscaled, too; --deinterlace takes them away"
_LOST = {"A53_CC", "MASTERING_DISPLAY_METADATA", "DYNAMIC_HDR_PLUS", "DOVI_METADATA"}
"""FFmpeg's names of what comes beside frames and no encoder here writes."""
_FINEST = 1_000_000  # ticks a second
_LOOKED_AT = 10  # frames: the first of a film may be whole where the others are interlaced


@dataclass
class Clip:
    """What is known of a film or an animation before it is decoded.

    Attributes:
        time_base: seconds per tick of the frames' times.
        rate: frames per second, on average.
        seconds: of the images, by the file's head; 0 where it does not say.
        size: (height, width) as displayed, display matrix applied.
        aspect: width over height of a pixel, as displayed; None where it is square or unknown.
        format: FFmpeg's name of the decoded pixels' format, such as ``yuv422p10le``.
        deep: more than 8 bits per sample.
        alpha: transparency.
        colours: H.273's numbers, and the range, for YCbCr that is made of it.
        notes: what is to be known of it; sentences.
    """

    path: Path
    time_base: Fraction
    rate: Fraction
    seconds: float
    size: tuple[int, int]
    aspect: Fraction | None
    format: str
    deep: bool
    alpha: bool
    colours: dict[str, int]
    notes: list[str]


def import_av() -> Any:
    """PyAV; UserError where it is not installed."""
    try:
        import av
        from av.codec.codec import find_best_pix_fmt_of_list  # noqa: F401 - the newest thing used
    except ImportError as error:
        raise UserError("videos need PyAV 16.1: pip install 'superres[video]' (or av)") from error
    # Any level makes decoder threads take Python's lock to log, while whoever closes the decoder
    # holds it and waits for them.
    av.logging.set_level(None)
    return av


def open_av(path: Path, mode: str = "r", **options: Any) -> Any:
    """PyAV's container of a file, whose name may look like an address."""
    return import_av().open(f"file:{path}", mode, **options)


def open_clip(path: Path) -> Any:
    """An open container; close it. UserError where it is not a video."""
    av = import_av()
    try:
        if moving := find_animation(path):  # FFmpeg does not read those of WebP
            encode_frames(moving, "png", None, {}, file := io.BytesIO())
            file.seek(0)
            return av.open(file, format="apng")
        container = open_av(path, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        reason = reason if first_bytes(path) else "an empty file"
        raise UserError(f"{path}: cannot be opened as a video ({reason})") from None
    if video_stream(container) is None:
        container.close()
        raise UserError(f"{path}: has no video in it")
    return container


def video_stream(container: Any) -> Any:
    """The first video stream that is not a cover image."""
    return next((s for s in container.streams.video if not s.disposition & COVER), None)


def seconds_of(container: Any) -> float:
    """How long the images of a clip last, by its head; 0 where it does not say."""
    stream = video_stream(container)
    said = stream.metadata.get("DURATION", "").split(":")  # Matroska, whose own is of all streams
    with contextlib.suppress(ValueError):
        return sum(float(part) * 60**place for place, part in enumerate(reversed(said)))
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / 1e6


def is_film(path: Path) -> bool:
    """Whether PyAV decodes a file whose first bytes say nothing."""
    with contextlib.suppress(UserError):
        return not is_junk("-", first_bytes(path)) and bool(probe(path))
    return False


def probe(path: Path) -> Clip:
    """What a film or an animation is like, from its head and its first frames.

    Raises:
        UserError: not a video, or not one frame of it can be decoded.
    """
    with open_clip(path) as container:
        stream = video_stream(container)
        moves = container.format.name == "apng"
        frames = _decoded(container, stream, [])
        first = list(frames if moves else itertools.islice(frames, _LOOKED_AT))
        if not first:
            raise UserError(f"{path}: no frame of it can be decoded")
        frame, parts, notes = first[0], first[0].format.components, []
        if any(frame.interlaced_frame for frame in first):
            notes.append(INTERLACED)
        with contextlib.suppress(ValueError):  # of a kind that PyAV does not know
            beside = {data.type.name for frame in first for data in frame.side_data}
            notes += [f"{name} (captions, HDR) is left out" for name in sorted(beside & _LOST)]
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        seconds, tick = seconds_of(container), stream.time_base
        if moves:  # its head says nothing of times
            notes.append("a video plays once, not in a loop")
            notes += [n for n in image_header(path).notes if not n.startswith("animated")]
            seconds = float((first[-1].pts + first[-1].duration) * tick)
            rate = Fraction(len(first) / seconds).limit_denominator(1000)
        # Of milliseconds, as Matroska has them, and of frames at a constant rate.
        finer = math.lcm(tick.denominator, rate.numerator)
        tick = Fraction(1, finer) if tick.numerator == 1 and finer <= _FINEST else tick
        size = upright(np.empty((frame.height, frame.width), bool), frame).shape
        aspect = stream.sample_aspect_ratio or None
        if aspect and size != (frame.height, frame.width):  # turned by a quarter
            aspect = 1 / aspect
        deep, alpha = any(part.bits > 8 for part in parts), any(part.is_alpha for part in parts)
        shape = size, aspect, frame.format.name, deep, alpha
        return Clip(path, tick, rate, seconds, *shape, _colours(frame), notes)


def frames(
    clip: Clip, after: int | None, notes: list[str], deinterlace: bool = False
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Pixels, time and length in ticks of the frames later than ``after``, in order.

    Args:
        notes: damaged packets, which are left out, are added.

    Yields:
        (H, W, 3 or 4) uint8, or uint16 of deep clips, upright; two numbers.
    """
    with open_clip(clip.path) as container:
        stream, first, last = video_stream(container), None, None
        stream.thread_type = "AUTO"
        step, error = 1 / (clip.rate * clip.time_base), stream.time_base / clip.time_base
        decoded = _decoded(container, stream, notes)
        for frame in _deinterlaced(decoded, stream) if deinterlace else decoded:
            ticks = (frame.time_base or stream.time_base) / clip.time_base
            pts = 0 if last is None else last + step
            pts = pts if frame.pts is None else frame.pts * ticks
            length, first = (frame.duration or 0) * ticks or step, pts if first is None else first
            if step > 3 * error:  # what the file's own ticks round away of a constant rate
                even = first + round((pts - first) / step) * step
                pts = even if abs(pts - even) <= error and even != last else pts
                length = step if abs(length - step) <= error else length
            if last is None or pts > last:
                last = pts
                if after is None or round(pts) > after:
                    yield _pixels(frame, clip), round(pts), round(length) or 1


def _decoded(container: Any, stream: Any, notes: list[str]) -> Iterator[Any]:
    """PyAV's frames in order, with their times; raw streams have none.

    AVI has times in the order of decoding alone: its frames take them in theirs.
    """
    av, broken, decoder, times = import_av(), 0, stream, deque()
    counted = container.format.name in ("avi", "h264", "hevc", "m4v", "mpegvideo")
    if stream.codec_context.name in ("vp8", "vp9") and stream.metadata.get("alpha_mode") == "1":
        # FFmpeg's own decoders leave the transparency out.
        name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}[stream.codec_context.name]
        decoder = av.CodecContext.create(name, "r")
    packets = container.demux(stream)
    packet: Any = packets
    while packet is not None:
        try:
            packet = next(packets, None)
            if packet is not None and packet.size and container.format.name == "avi":
                times.append(packet.dts)
            for frame in decoder.decode(packet) if packet is not None else ():
                if counted:
                    frame.pts = times.popleft() if times else None
                yield frame
        except av.error.InvalidDataError:
            broken += 1
    if broken:
        notes.append(f"{broken} damaged packets were left out")


def _deinterlaced(frames: Iterable[Any], stream: Any) -> Iterator[Any]:
    """As many frames, each whole: what one of its two fields lacks, bwdif computes."""
    graph = import_av().filter.Graph()
    ends = graph.add("bwdif", "mode=send_frame"), graph.add("buffersink")
    graph.link_nodes(graph.add_buffer(template=stream), *ends).configure()
    for frame in itertools.chain(frames, (None,)):  # None is the end
        graph.push(frame)
        with contextlib.suppress(BlockingIOError, EOFError):
            while True:
                yield graph.vpull()


def _pixels(frame: Any, clip: Clip) -> np.ndarray:
    given = FULL if frame.format.is_rgb else clip.colours["color_range"]
    how = {"src_color_range": given, "dst_color_range": FULL, **EXACT}
    how |= {"src_colorspace": clip.colours["colorspace"]}
    made = frame.reformat(format=rgb_format(clip.alpha, clip.deep), **how)
    pixels = upright(made.to_ndarray(), frame)
    if pixels.shape[:2] != clip.size:
        sizes = (f"{width}x{height}" for height, width in (clip.size, pixels.shape[:2]))
        raise UserError(f"{clip.path}: its frames change size, {' to '.join(sizes)}; cut it there")
    return np.ascontiguousarray(pixels)


def rgb_format(alpha: bool, deep: bool) -> str:
    """FFmpeg's name for the pixels of a frame."""
    return {(0, 0): "rgb24", (0, 1): "rgb48le", (1, 0): "rgba", (1, 1): "rgba64le"}[alpha, deep]


def upright(pixels: np.ndarray, frame: Any) -> np.ndarray:
    """(H, W, ...) as decoded, turned and mirrored by quarters as the frame's matrix says."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # beside other data, of a kind that PyAV does not know
        return np.rot90(pixels, round(frame.rotation / 90))
    if matrix is None:
        return pixels
    across, over, _, back, down = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(over) > abs(across):
        pixels, across, down = pixels.swapaxes(0, 1), back, over
    return pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def _colours(frame: Any) -> dict[str, int]:
    """As tagged, else as players guess them."""
    tags = ("color_primaries", "color_trc", "colorspace", "color_range")
    found, rgb = {tag: int(getattr(frame, tag)) for tag in tags}, frame.format.is_rgb
    if rgb or found["colorspace"] in (0, 2):
        found["colorspace"] = BT709 if frame.height >= 720 else BT601
    full = frame.format.name.startswith("yuvj") or (found["color_range"] == FULL and not rgb)
    return found | {"color_range": FULL if full else STUDIO}


@dataclass(frozen=True)
class Animation:
    """An animated file: its path, frames, and loops; None: it says nothing."""

    path: Path
    frames: int
    loop: int | None

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        """(H, W, 4) uint8 and milliseconds of each frame."""
        with opened_image(self.path) as image:
            for frame in ImageSequence.Iterator(image):
                # The first image of a PNG need not be of the animation.
                if image.tell() or not getattr(image, "default_image", False):
                    pixels = np.asarray(frame.convert("RGBA"))  # Pillow then knows how long
                    yield pixels, float(frame.info.get("duration", 0))


def find_animation(path: Path | str, max_pixels: int | None = None) -> Animation | None:
    """What is animated about a file; None where nothing is.

    Raises:
        UserError: damaged, or more pixels than the limit.
    """
    path, kind = Path(path), kind_of(first_bytes(path))
    if kind is None or kind.name not in ANIMATED.values():
        return None
    with opened_image(path) as image:
        frames = getattr(image, "n_frames", 1) - getattr(image, "default_image", False)
        if frames < 2:
            return None
        if image.width * image.height > max_pixels_allowed(max_pixels):
            raise UserError(f"{path}: {image.width}x{image.height} pixels are more than the limit")
        return Animation(path, frames, image.info.get("loop"))


def encode_frames(
    frames: Iterable[tuple[np.ndarray, float]],
    kind: str,
    loop: int | None,
    options: dict[str, Any],
    file: BinaryIO,
) -> None:
    """Write (H, W, 4) uint8 and milliseconds as ``gif``, ``webp`` or ``png``; all are held."""
    pixels, durations = zip(*frames, strict=True)
    if kind == "gif":  # which counts hundredths of a second: none is lost by rounding each
        ends = [round(end, -1) for end in itertools.accumulate(durations)]
        durations = [end - begin for begin, end in itertools.pairwise([0, *ends])]
    bands = 3 if all((frame[..., 3] == 255).all() for frame in pixels) else 4
    images = [Image.fromarray(frame[..., :bands]) for frame in pixels]
    options = options | {"duration": list(durations)} | ({} if loop is None else {"loop": loop})
    images[0].save(file, kind, save_all=True, append_images=images[1:], **options)
