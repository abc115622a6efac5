"""A film or an animation to a film, frame by frame: in pieces, so that little is done twice.

The pieces lie in a hidden folder beside the result until it is whole, so that the same command
goes on where an earlier one was stopped. Sound and subtitles are the source's. Needs PyAV.
"""

from __future__ import annotations

import contextlib
import heapq
import io
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from superres.errors import UserError
from superres.files import replacing, write_atomically
from superres.upscaling import video_reading as reading
from superres.upscaling.provenance import Settings, with_record
from superres.upscaling.tiled_upscaler import Progress, TiledUpscaler, quiet
from superres.upscaling.video_reading import Clip
from superres.upscaling.writing import make_folder, on_white, writing

SEGMENT_FRAMES = 120
"""Frames per piece: what a killed process has to do again at most."""

H264 = "libx264 crf=17 preset=medium bf=0 x264-params=force-cfr=1"  # else it declares 1/time base
VP9 = "libvpx-vp9 crf=24 b=0 lag-in-frames=0 cpu-used=4 auto-alt-ref=0 row-mt=1 deadline=good"
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
CONTAINERS |= {".ts": "mpegts", ".avi": "avi"}
"""Suffix -> FFmpeg's name of what can be written."""
WITH_ALPHA = {"mov": "prores_ks profile=4444", "matroska": "ffv1", "avi": "ffv1", "webm": VP9}
"""Container -> codec and its options for what is transparent; else VP9 in webm, or H.264."""
_IN_TS = ("aac", "ac3", "eac3", "dts", "mp1", "mp2", "mp3", "mp3float", "opus", "dvbsub")
"""MPEG-TS takes anything; what else it was given no player finds in it."""
_WORDS = {"audio": "sound", "subtitle": "subtitles"}


class VideoResult(NamedTuple):
    """What became of a clip.

    Attributes:
        size, result_size: (width, height), display matrix applied.
        frames: of the result.
        notes: sentences for a person.
        lost: see `shortcomings`.
    """

    size: tuple[int, int]
    result_size: tuple[int, int]
    frames: int
    notes: list[str]
    lost: list[str]


def upscale_video(
    source: Path,
    target: Path,
    upscaler: TiledUpscaler,
    progress: Progress = quiet,
    settings: Settings | None = None,
    deinterlace: bool = False,
    say: Callable[[str], object] = lambda note: None,
) -> VideoResult:
    """Upscale a clip; sound, subtitles, times of frames and chapters are kept.

    Memory does not grow with the length. A clip of more than 8 bits gives one of 10 bits.

    Args:
        source: any video that FFmpeg decodes, or an animation.
        target: a suffix of `CONTAINERS`.
        progress: told of (frames done, about how many there are).
        settings: recorded in the result; pieces of others are thrown away.
        deinterlace: compute the half of each frame that belongs to another moment.
        say: called at the start with each note on what the result will not hold.

    Raises:
        UserError: no PyAV, not a video, or the result cannot be written.
        KeyboardInterrupt: Ctrl-C, after the frames so far were kept.
    """
    clip = reading.probe(source)
    notes = [note for note in clip.notes if not (deinterlace and note == reading.INTERLACED)]
    wanted = upscaler.size(*clip.size)
    size = height, width = wanted[0] + wanted[0] % 2, wanted[1] + wanted[1] % 2
    if size != wanted:
        notes.append(f"resized to even sides, {width}x{height}, which video codecs ask for")
    settings = settings or Settings("", "", upscaler.scale)
    pieces = Pieces(clip, target, size, settings, notes)
    for note in notes:
        say(note)
    with making(target):
        try:
            done = max(pieces.durations, default=None)
            for pixels, *times in reading.frames(clip, done, notes, deinterlace):
                pieces.write(upscaler.upscale(pixels, size), *times)
                count = len(pieces.durations) + len(pieces.written)
                progress(count, max(count, round(clip.seconds * clip.rate)))
        finally:  # a frame begun is left, a piece begun is closed
            pieces.close()
        lost = join(pieces, target, notes)
    count = len(pieces.durations)
    progress(count, count)
    shutil.rmtree(pieces.folder, ignore_errors=True)
    return VideoResult(clip.size[::-1], (width, height), count, notes, lost)


def parts_folder(target: Path) -> Path:
    """Where the pieces of an unfinished result lie."""
    return target.with_name(f".{target.name}.parts")


def state_of(target: Path) -> dict:
    """What stands of an unfinished result: ``record``, ``pieces``, ``durations``; {}: nothing."""
    try:
        return dict(json.loads((parts_folder(target) / "state.json").read_text()))
    except (OSError, ValueError, TypeError):
        return {}


class Pieces:
    """The pieces so far and how they were made; those made otherwise are thrown away.

    No frame refers to one that is shown later, so the times of joined pieces always grow.

    Args:
        size: (height, width) of the result.
        settings: recorded; pieces of others are thrown away.
        notes: what the container of ``target`` cannot hold of the frames is added.

    Attributes:
        alpha: whether the result has transparency.
        files: of whole pieces.
        durations: of their frames, by time, in ticks.
        written: the same of the piece that is being written.
    """

    def __init__(
        self, clip: Clip, target: Path, size: tuple[int, int], settings: Settings, notes: list[str]
    ) -> None:
        self.clip, self.size = clip, size
        self.folder, self.record = parts_folder(target), settings.record(clip.path)
        self._choose_coding(target.suffix.lower(), notes)
        self.written: dict[int, int] = {}
        self._container: Any = None
        state = state_of(target)
        self.files = [self.folder / name for name in state.get("pieces", ())]
        self.durations = {int(k): v for k, v in state.get("durations", {}).items()}
        if state.get("record") != self.record or not all(file.is_file() for file in self.files):
            self.files, self.durations = [], {}
            shutil.rmtree(self.folder, ignore_errors=True)
        make_folder(self.folder)

    def _choose_coding(self, suffix: str, notes: list[str]) -> None:
        """The codec, and of its pixel formats the best for the clip."""
        container = CONTAINERS[suffix]
        self.alpha = self.clip.alpha and container in WITH_ALPHA
        coded = WITH_ALPHA[container] if self.alpha else VP9 if container == "webm" else H264
        self._codec, *options = coded.split()
        self._options = dict(option.split("=", 1) for option in options)
        codecs = reading.import_av().codec.codec
        chromas = ("420",) if self.alpha and container == "webm" else ("420", "422", "444")
        kind = f"yuv{'a' * self.alpha}"
        wanted = [f"{kind}{chroma}p{bits}" for chroma in chromas for bits in ("", "10le")]
        able = [f for f in codecs.Codec(self._codec, "w").video_formats if f.name in wanted]
        given = self.clip.format.replace("gray", "yuv420p")
        best, loss = codecs.find_best_pix_fmt_of_list(able, given, self.clip.alpha)
        self._format = best.name
        if self.clip.alpha and not self.alpha:
            notes.append(f"{suffix} has no transparency: put on white; .mov, .mkv, .webm do")
        if loss & codecs.PixFmtLoss.RESOLUTION:
            notes.append("its colours are stored with fewer lines or columns")
        if loss & codecs.PixFmtLoss.DEPTH:
            notes.append(f"its samples are reduced to {best.components[0].bits} bits")

    def write(self, pixels: np.ndarray, pts: int, duration: int) -> None:
        """Add a frame, (H, W, 3 or 4) uint8 or uint16; a piece that is long enough is closed."""
        colours = self.clip.colours
        if pixels.shape[2] == 4 and not self.alpha:
            pixels = on_white(pixels)
        if self._container is None:
            self._begin()
        given = reading.rgb_format(pixels.shape[2] == 4, pixels.dtype == np.uint16)
        frame = reading.import_av().VideoFrame.from_ndarray(pixels, format=given)
        ranges = {"src_color_range": reading.FULL, "dst_color_range": colours["color_range"]}
        matrix = {"dst_colorspace": colours["colorspace"]}
        frame = frame.reformat(format=self._format, **matrix, **ranges, **reading.EXACT)
        for tag, value in colours.items():
            setattr(frame, tag, value)
        frame.pts, frame.time_base = pts, self.clip.time_base
        self.written[pts] = duration
        self._mux(self._stream.encode(frame))
        if len(self.written) >= SEGMENT_FRAMES:
            self.close()

    def _begin(self) -> None:
        # AVI wants H.264 as NUT has it; only Matroska keeps the transparency of VP9.
        kind = "nut" if self._codec == "libx264" else "matroska"
        self._file = self.folder / f"{len(self.files):05d}.{kind}"
        container = reading.open_av(self._file, "w", format=kind)
        self._stream = container.add_stream(self._codec, rate=self.clip.rate)
        self._container, self._packets = container, 0
        context = self._stream.codec_context
        context.height, context.width = self.size
        context.pix_fmt = self._format
        self._stream.time_base = context.time_base = self.clip.time_base
        context.options = dict(self._options)
        context.sample_aspect_ratio = self.clip.aspect or 1
        for tag, value in self.clip.colours.items():
            setattr(context, tag, value)

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.dts = packet.pts
            self._container.mux(packet)
            self._packets += 1

    def close(self) -> None:
        """Finish the piece that is being written, if there is one; from then on it counts."""
        if self._container is None:
            return
        try:
            self._mux(self._stream.encode(None))
            self._container.close()
        finally:
            self._container = None
        self.files.append(self._file)
        # Ctrl-C may have come before the last one was encoded.
        self.durations |= itertools.islice(self.written.items(), self._packets)
        self.written = {}
        names = [file.name for file in self.files]
        state = {"record": self.record, "pieces": names, "durations": self.durations}
        data = json.dumps(state).encode()
        write_atomically(self.folder / "state.json", lambda file: file.write(data))


@contextlib.contextmanager
def making(path: Path) -> Iterator[None]:
    """UserError with the file's name for faults of FFmpeg and of the system."""
    try:
        with writing(path):
            yield
    except (reading.import_av().error.FFmpegError, ValueError) as error:
        raise UserError(f"{path}: cannot be made by FFmpeg ({error})") from None


def join(pieces: Pieces, target: Path, notes: list[str]) -> list[str]:
    """Write ``target``: the pieces one after the other, all else from their source.

    Args:
        notes: what the container cannot hold, or holds otherwise, is added.

    Returns:
        See :func:`shortcomings`.

    Raises:
        UserError: it cannot be written.
    """
    clip, container = pieces.clip, CONTAINERS[target.suffix.lower()]
    with (
        replacing(target) as (temporary, _),
        reading.open_clip(clip.path) as source,
        reading.open_av(pieces.files[0]) as first,
        reading.open_av(temporary, "w", format=container) as out,
    ):
        chosen, template = reading.video_stream(source), first.streams.video[0]
        video = out.add_stream_from_template(template)
        video.time_base = 1 / clip.rate if container == "avi" else clip.time_base  # AVI has a rate
        video.codec_context.framerate = clip.rate
        if container == "mov" and template.codec_context.name == "prores":
            video.codec_context.codec_tag = "ap4h"  # with alpha
        kept = ("language", "title", "handler_name")
        video.metadata.update({k: v for k, v in chosen.metadata.items() if k in kept})
        said = "\n".join(v for k, v in source.metadata.items() if k.lower() == "comment")
        others = {k: v for k, v in source.metadata.items() if k.lower() != "comment"}
        out.metadata.update(others | {"comment": with_record(said, pieces.record)})
        with contextlib.suppress(Exception):  # few containers have chapters
            out.set_chapters(source.chapters())
        rest = [stream for stream in source.streams if stream.index != chosen.index]
        copies = {s.index: c for s in rest if (c := _copy(out, clip.path, s, target.suffix, notes))}
        every = _video(pieces, video), _others(source, copies)
        for time, packet in heapq.merge(*every, key=lambda item: item[0]):
            if time >= 0 or container != "avi":  # there all streams begin at 0: it would be late
                out.mux(packet)
    return shortcomings(clip.path, target)


def shortcomings(source: Path, target: Path) -> list[str]:
    """What a result has less of than its source, by their heads; in words after "it is there"."""
    with reading.open_clip(source) as one, reading.open_clip(target) as other:
        files = one, other
        kinds = [[s.type for s in f.streams if not s.disposition & reading.COVER] for f in files]
        whole, made = map(reading.seconds_of, files)
    lost = [word for kind, word in _WORDS.items() if kinds[0].count(kind) > kinds[1].count(kind)]
    found = [f"without its {' and '.join(lost)} (.mkv holds them)"] * bool(lost)
    found += ["with one of its videos upscaled alone"] * (kinds[0].count("video") > 1)
    cut = f"with images that end at {made:.1f} s of {whole:.1f} s, cut off?"
    return found + [cut] * (made < 0.9 * whole - 0.1)


def _copy(out: Any, path: Path, stream: Any, suffix: str, notes: list[str]) -> Any:
    """A stream of ``out`` for one of the source, as it is or to encode to; None: it is lost."""
    context, container, copy = stream.codec_context, out.format.name, None
    what = f"{stream.type} stream {stream.index} ({getattr(context, 'name', 'unknown')})"
    with contextlib.suppress(Exception):
        if _holds(container, path, stream.index):
            copy = out.add_stream_from_template(stream, opaque=True)
        elif stream.type == "audio":
            layout = {1: "mono", 6: "5.1"}.get(context.channels, "stereo")
            codec = "libopus" if container == "webm" else "aac"
            copy = out.add_stream(codec, rate=48000, layout=layout)
    if copy is None:
        notes.append(f"{what} was left out: {suffix} cannot hold it")
        return None
    if _encodes(copy):
        notes.append(f"{what} was encoded as {copy.codec_context.name}, since {suffix} lacks it")
    copy.metadata.update(stream.metadata)
    copy.disposition = stream.disposition
    return copy


def _encodes(copy: Any) -> bool:
    return copy.codec_context is not None and copy.codec_context.is_encoder


def _holds(container: str, path: Path, index: int) -> bool:
    """Whether a container takes a stream as it is: a file of it, and a packet of sound, is made."""
    memory = {"file": io.BytesIO(), "mode": "w", "format": container}
    with (
        contextlib.suppress(Exception),
        reading.open_clip(path) as source,
        reading.import_av().open(**memory) as trial,
    ):
        stream = source.streams[index]
        copy = trial.add_stream_from_template(stream, opaque=True)
        trial.start_encoding()
        if stream.type == "audio" and (packet := next(source.demux(stream))).size:
            packet.stream = copy
            trial.mux(packet)
        name = getattr(stream.codec_context, "name", "")
        return container != "mpegts" or stream.type == "data" or name in _IN_TS
    return False


def _video(pieces: Pieces, out: Any) -> Iterator[tuple[Fraction, Any]]:
    times, time_base = iter(sorted(pieces.durations.items())), pieces.clip.time_base
    for file in pieces.files:
        with reading.open_av(file) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.size:
                    packet.pts, packet.duration = next(times)
                    packet.dts, packet.time_base, packet.stream = packet.pts, time_base, out
                    yield packet.pts * time_base, packet


def _others(source: Any, copies: dict[int, Any]) -> Iterator[tuple[Fraction, Any]]:
    """Packets of the other streams in the file's order."""
    streams = [s for s in source.streams if s.index in copies and s.type != "attachment"]
    for packet in source.demux(streams) if streams else ():
        copy, ticks = copies[packet.stream.index], packet.pts if packet.dts is None else packet.dts
        if packet.size and packet.stream.disposition & reading.COVER:
            ticks = packet.pts = packet.dts = 0  # a cover has no time
        if _encodes(copy):
            for made in _encoded(packet, copy):
                yield made.dts * made.time_base, made
        elif ticks is not None:
            time, packet.stream = ticks * packet.time_base, copy
            yield time, packet


def _encoded(packet: Any, copy: Any) -> Iterator[Any]:
    """The packets of ``copy`` that one of sound becomes; the last one is empty."""
    with contextlib.suppress(reading.import_av().error.InvalidDataError):  # damaged
        for frame in packet.decode():
            yield from copy.encode(frame) if frame.pts is not None else ()
        yield from copy.encode(None) if not packet.size else ()
