"""Upscaled pieces, and the sound and subtitles of the source, to one file. Needs PyAV."""

from __future__ import annotations

import contextlib
import heapq
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superres.errors import UserError
from superres.files import replacing
from superres.upscaling import video_reading as reading
from superres.upscaling.provenance import with_record
from superres.upscaling.writing import writing

if TYPE_CHECKING:
    from superres.upscaling.video import Pieces

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


@contextlib.contextmanager
def making(path: Path) -> Iterator[None]:
    """UserError with the file's name for faults of FFmpeg and of the system."""
    try:
        with writing(path):
            yield
    except (reading.import_av().error.FFmpegError, ValueError) as error:
        raise UserError(f"{path}: cannot be made by FFmpeg ({error})") from None


def join(pieces: Pieces, target: Path, notes: list[str], whole: bool = True) -> list[str]:
    """Write ``target``: the pieces one after the other, all else from their source.

    Args:
        notes: what the container cannot hold, or holds otherwise, is added.
        whole: else it is a part, without a record, with whose frames sound ends.

    Returns:
        See :func:`shortcomings`.

    Raises:
        UserError: it cannot be written.
    """
    clip, container = pieces.clip, CONTAINERS[target.suffix.lower()]
    with (
        making(target),
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
        said = with_record(said, pieces.record if whole else None)
        others = {k: v for k, v in source.metadata.items() if k.lower() != "comment"}
        out.metadata.update(others | ({"comment": said} if said else {}))
        with contextlib.suppress(Exception):  # few containers have chapters
            out.set_chapters(source.chapters())
        rest = [stream for stream in source.streams if stream.index != chosen.index]
        copies = {s.index: c for s in rest if (c := _copy(out, clip.path, s, target.suffix, notes))}
        end = None if whole else sum(max(pieces.durations.items())) * clip.time_base
        every = _video(pieces, video), _others(source, copies, end)
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


def _others(
    source: Any, copies: dict[int, Any], end: Fraction | None
) -> Iterator[tuple[Fraction, Any]]:
    """Packets of the other streams in the file's order, up to ``end`` seconds."""
    streams = [s for s in source.streams if s.index in copies and s.type != "attachment"]
    for packet in source.demux(streams) if streams else ():
        copy, ticks = copies[packet.stream.index], packet.pts if packet.dts is None else packet.dts
        if packet.size and packet.stream.disposition & reading.COVER:
            ticks = packet.pts = packet.dts = 0  # a cover has no time
        if ticks is not None and end is not None and ticks * packet.time_base >= end:
            continue
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
