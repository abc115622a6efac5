"""Enlarged pieces, and the sound and subtitles of the source, to one file. Needs PyAV."""

from __future__ import annotations

import contextlib
import errno
import heapq
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from superres.errors import UserError
from superres.files import os_fault, replacing
from superres.upscaling.provenance import without_record
from superres.upscaling.video_codec import CONTAINERS, import_av, open_clip, video_stream
from superres.upscaling.writing import DiskFull


def join(
    source: Path,
    pieces: list[Path],
    target: Path,
    durations: dict[int, int],
    notes: list[str],
    record: str | None = None,
) -> list[str]:
    """Write ``target`` whole: the pieces one after the other, all else copied from ``source``.

    Args:
        durations: length of frames by their time, in ticks; containers do not keep all.
        notes: told what the container cannot hold.
        record: how it was made, for its comment.

    Returns:
        ``sound``, ``subtitles``: streams that the container cannot hold.

    Raises:
        UserError: it cannot be written.
    """
    av = import_av()
    kind, _ = CONTAINERS[target.suffix.lower()]
    try:
        with (
            replacing(target) as (temporary, _),
            open_clip(source) as original,
            av.open(str(pieces[0])) as first,
            av.open(str(temporary), "w", format=kind) as out,
        ):
            _describe(out, original.metadata, record)
            return _fill(out, original, first, pieces, notes, durations)
    except OSError as error:  # PyAV's errors are OSErrors, too
        raise write_fault(target, error) from None


def _describe(out: Any, metadata: dict[str, str], record: str | None) -> None:
    """The source's metadata, with the record in a line of the comment."""
    named = {k: v for k, v in metadata.items() if k.lower() != "comment"}
    said = [without_record(v) for k, v in metadata.items() if k.lower() == "comment"]
    lines = [text for text in (*said, record) if text]
    out.metadata.update({**named, "comment": "\n".join(lines)} if lines else named)


def write_fault(target: Path, error: OSError) -> UserError:
    """What to raise where a video, or a piece of one, cannot be written."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"{target}: the disk is full; make room and run the same command again: what is "
            "done is kept"
        )
    return UserError(os_fault(target, error, "file", writing=True))


def _fill(
    out: Any, original: Any, first: Any, pieces: list[Path], notes: list[str], durations: dict
) -> list[str]:
    """Mux all; returns the kinds of streams that were left out though people see or hear them."""
    av = import_av()
    chosen = video_stream(original)
    video = out.add_stream_from_template(first.streams.video[0])
    video.time_base = chosen.time_base
    if out.format.name == "avi":  # which has one rate, the inverse of this
        video.time_base = 1 / (chosen.average_rate or chosen.guessed_rate)
    video.metadata.update(
        {k: v for k, v in chosen.metadata.items() if k in ("language", "title", "handler_name")}
    )
    copied, lost = {}, []
    for stream in original.streams:
        if stream.index == chosen.index:
            continue
        if stream.type not in ("audio", "subtitle"):
            notes.append(f"a {stream.type} stream was left out")
            continue
        try:
            copy = out.add_stream_from_template(stream)
            copy.metadata.update(stream.metadata)
            copy.disposition = stream.disposition
        except (av.error.FFmpegError, ValueError, AttributeError) as error:
            notes.append(f"the {stream.type} stream {stream.index} was left out ({error})")
            lost.append("sound" if stream.type == "audio" else "subtitles")
            continue
        copied[stream.index] = copy
    with contextlib.suppress(Exception):  # few containers have chapters
        out.set_chapters(original.chapters())
    end = None
    if durations:
        last = max(durations)
        end = (last + durations[last]) * chosen.time_base
    packets = heapq.merge(
        _video(pieces, video, durations), _others(original, copied, end), key=lambda item: item[0]
    )
    for _, packet in packets:
        out.mux(packet)
    return lost


def _video(pieces: list[Path], out: Any, durations: dict) -> Iterator[tuple[Fraction, Any]]:
    av = import_av()
    for piece in pieces:
        with av.open(str(piece)) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.pts is None:
                    continue
                time = packet.pts * packet.time_base
                packet.dts = packet.pts
                packet.duration = durations.get(packet.pts, packet.duration)
                packet.stream = out
                yield time, packet


def _others(
    original: Any, copied: dict[int, Any], end: Fraction | None
) -> Iterator[tuple[Fraction, Any]]:
    """Packets of the copied streams in the file's order, up to ``end`` seconds."""
    if not copied:
        return
    streams = [s for s in original.streams if s.index in copied]
    for packet in original.demux(streams):
        if packet.dts is None and packet.pts is None:
            continue
        time = (packet.pts if packet.dts is None else packet.dts) * packet.time_base
        if end is not None and time >= end:
            continue
        packet.stream = copied[packet.stream.index]
        yield time, packet
