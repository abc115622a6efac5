"""Upscaled pieces, and the sound and subtitles of the source, to one file. Needs PyAV."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from superres.files import replacing
from superres.upscaling.provenance import without_record
from superres.upscaling.video_codec import CONTAINERS, import_av, open_clip, video_stream
from superres.upscaling.writing import writing


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
        durations: length of frames by their time, in ticks; containers do not keep all. Sound
            ends with the last one, where there are any.
        notes: what the container cannot hold is added.
        record: how it was made, for its comment.

    Returns:
        ``sound``, ``subtitles``: streams that the container cannot hold.

    Raises:
        UserError: it cannot be written.
    """
    av = import_av()
    with (
        writing(target),
        replacing(target) as (temporary, _),
        open_clip(source) as original,
        av.open(str(pieces[0])) as first,
        av.open(str(temporary), "w", format=CONTAINERS[target.suffix.lower()][0]) as out,
    ):
        said = [v for k, v in original.metadata.items() if k.lower() == "comment"]
        said = [text for text in (*map(without_record, said), record) if text]
        out.metadata.update({k: v for k, v in original.metadata.items() if k.lower() != "comment"})
        out.metadata.update({"comment": "\n".join(said)} if said else {})
        chosen = video_stream(original)
        video = out.add_stream_from_template(first.streams.video[0])
        video.time_base = chosen.time_base
        if out.format.name == "avi":  # which has one rate, the inverse of this
            video.time_base = 1 / (chosen.average_rate or chosen.guessed_rate)
        kept = ("language", "title", "handler_name")
        video.metadata.update({k: v for k, v in chosen.metadata.items() if k in kept})
        others = [stream for stream in original.streams if stream.index != chosen.index]
        copied, lost = _copied(out, others, notes)
        with contextlib.suppress(Exception):  # few containers have chapters
            out.set_chapters(original.chapters())
        end = sum(max(durations.items())) * chosen.time_base if durations else None
        every = _video(pieces, video, durations), _others(original, copied, end)
        for _, packet in heapq.merge(*every, key=lambda item: item[0]):
            out.mux(packet)
        return lost


def _copied(out: Any, streams: list[Any], notes: list[str]) -> tuple[dict[int, Any], list[str]]:
    """The copies of streams by their number; and what people see or hear that has none."""
    copied, lost = {}, []
    for stream in streams:
        if stream.type not in ("audio", "subtitle"):
            notes.append(f"a {stream.type} stream was left out")
            continue
        try:
            copy = out.add_stream_from_template(stream)
            copy.metadata.update(stream.metadata)
            copy.disposition = stream.disposition
            copied[stream.index] = copy
        except (OSError, ValueError, AttributeError) as error:  # PyAV's are OSErrors, too
            notes.append(f"the {stream.type} stream {stream.index} was left out ({error})")
            lost.append("sound" if stream.type == "audio" else "subtitles")
    return copied, lost


def _video(pieces: list[Path], out: Any, durations: dict) -> Iterator[tuple[Fraction, Any]]:
    av = import_av()
    for piece in pieces:
        with av.open(str(piece)) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.pts is not None:
                    time, packet.dts = packet.pts * packet.time_base, packet.pts
                    packet.duration = durations.get(packet.pts, packet.duration)
                    packet.stream = out
                    yield time, packet


def _others(
    original: Any, copied: dict[int, Any], end: Fraction | None
) -> Iterator[tuple[Fraction, Any]]:
    """Packets of the copied streams in the file's order, up to ``end`` seconds."""
    streams = [s for s in original.streams if s.index in copied]
    for packet in original.demux(streams) if streams else ():
        ticks = packet.pts if packet.dts is None else packet.dts
        if ticks is not None and (end is None or ticks * packet.time_base < end):
            time, packet.stream = ticks * packet.time_base, copied[packet.stream.index]
            yield time, packet
