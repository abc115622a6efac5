"""A video enlarged frame by frame: in pieces, so that an interruption costs next to nothing.

The pieces lie in a hidden folder beside the result until it is whole. Ctrl-C joins what is there
to a playable file; the same command goes on after the last frame of it.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from superres.errors import UserError
from superres.files import write_atomically
from superres.upscaling.enlarge import Enlarger, Progress
from superres.upscaling.provenance import Settings, difference
from superres.upscaling.video_codec import (
    CONTAINERS,
    Clip,
    Frame,
    SegmentWriter,
    frames,
    import_av,
    probe,
)
from superres.upscaling.video_join import join, write_fault
from superres.upscaling.writing import make_folder

SEGMENT_FRAMES = 120
"""Frames per piece: what a killed process has to do again at most."""


@dataclass
class VideoResult:
    """What became of a clip.

    Attributes:
        size, result_size: (width, height), rotation applied.
        frames: of the result.
        notes: sentences for a person.
        lost: ``sound``, ``subtitles``: streams that the result does not hold.
    """

    size: tuple[int, int]
    result_size: tuple[int, int]
    frames: int
    notes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def parts_folder(target: Path) -> Path:
    """Where the pieces of an unfinished result lie."""
    return target.with_name(f".{target.name}.parts")


def unfinished(target: Path) -> str | None:
    """The record of a result that is done in part, '' where it has none; None: nothing is done."""
    state = _state(target)
    return str(state.get("record", "")) if state.get("pieces") else None


def _state(target: Path) -> dict:
    try:
        return dict(json.loads((parts_folder(target) / "state.json").read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def upscale_video(
    source: Path,
    target: Path,
    enlarger: Enlarger,
    progress: Progress | None = None,
    settings: Settings | None = None,
) -> VideoResult:
    """Enlarge a clip; sound, subtitles, times of frames and chapters are kept.

    Memory does not grow with the length. A clip of more than 8 bits gives one of 10 bits.

    Args:
        source: any video that FFmpeg decodes.
        target: a suffix of `CONTAINERS`.
        progress: told of (frames done, about how many there are).
        settings: recorded in the result; pieces of others are thrown away.

    Raises:
        UserError: no PyAV, not a video, or the result cannot be written.
        KeyboardInterrupt: Ctrl-C, after ``target`` was made playable with the frames so far.
    """
    import_av()
    if target.suffix.lower() not in CONTAINERS:
        raise UserError(
            f"{target}: cannot write {target.suffix or 'a video without a suffix'}; use "
            f"{' '.join(CONTAINERS)}"
        )
    clip = probe(source)
    notes = list(clip.notes)
    height, width = (n + n % 2 for n in enlarger.size(*clip.size))
    if (height, width) != enlarger.size(*clip.size):
        notes.append(f"resized to even sides, {width}x{height}, which video codecs ask for")
    settings = settings or Settings("", "", enlarger.scale)
    parts = _Parts(source, target, settings)
    durations = parts.durations
    try:
        _encode(clip, enlarger, (height, width), parts, progress, notes)
    except KeyboardInterrupt:
        if parts.pieces:
            join(source, parts.pieces, target, durations, notes)
        raise
    except OSError as error:  # a piece that cannot be written
        raise write_fault(target, error) from None
    if not parts.pieces:
        raise UserError(f"{source}: no frame of it can be decoded")
    if progress:
        progress(len(durations), len(durations))
    last = max(durations)
    end = float((last + durations[last]) * clip.time_base)
    if end < 0.9 * clip.seconds - 0.1:
        notes.append(f"its pictures end at {end:.1f} s of {clip.seconds:.1f} s: truncated?")
    lost = join(source, parts.pieces, target, {}, notes, parts.record)
    count = len(durations)
    parts.remove()
    return VideoResult(clip.size[::-1], (width, height), count, notes, lost)


def _encode(
    clip: Clip,
    enlarger: Enlarger,
    size: tuple[int, int],
    parts: _Parts,
    progress: Progress | None,
    notes: list[str],
) -> None:
    """Make the pieces that are not there yet; a frame begun is left, a piece begun is closed."""
    codec = CONTAINERS[parts.target.suffix.lower()][1]
    writer: SegmentWriter | None = None
    written: dict[int, int] = {}
    try:
        for frame in frames(clip.path, parts.last, clip.deep, notes):
            pixels = _enlarge(frame, enlarger, size, clip)
            if writer is None:
                writer = SegmentWriter(parts.next_piece(), clip, size, codec)
            writer.write(frame, pixels)
            written[frame.pts] = frame.duration
            if progress:
                done = len(parts.durations) + len(written)
                progress(done, max(done, clip.frames))
            if len(written) >= SEGMENT_FRAMES:
                closing, writer = writer, None
                closing.close()
                parts.add(written)
                written = {}
    finally:
        if writer is not None:
            writer.close()
            parts.add(written)


def _enlarge(frame: Frame, enlarger: Enlarger, size: tuple[int, int], clip: Clip) -> np.ndarray:
    pixels = frame.pixels
    if pixels.shape[:2] != clip.size:
        raise UserError(
            f"{clip.path}: its frames change size, from {clip.size[1]}x{clip.size[0]} to "
            f"{pixels.shape[1]}x{pixels.shape[0]}; cut it there"
        )
    return np.concatenate(list(enlarger.rows(pixels, size=size)))


class _Parts:
    """The pieces so far and how they were made; those made otherwise are thrown away."""

    def __init__(self, source: Path, target: Path, settings: Settings) -> None:
        self.target, self.folder = target, parts_folder(target)
        self.durations: dict[int, int] = {}
        self.pieces: list[Path] = []
        state = _state(target)
        if difference(str(state.get("record", "")), settings, source) is None:
            self.pieces = [self.folder / name for name in state["pieces"]]
            self.durations = {int(k): v for k, v in state["durations"].items()}
        if not self.pieces or not all(p.is_file() for p in self.pieces):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.pieces, self.durations = [], {}
        make_folder(self.folder)
        self.record = settings.record(source)

    @property
    def last(self) -> int | None:
        """Time of the last frame that is done."""
        return max(self.durations, default=None)

    def next_piece(self) -> Path:
        """Where the next piece goes; it counts from `add` on."""
        self._next = self.folder / f"{len(self.pieces):05d}.nut"
        return self._next

    def add(self, durations: dict[int, int]) -> None:
        """The next piece is whole and holds these frames."""
        if not durations:
            return
        self.pieces.append(self._next)
        self.durations.update(durations)
        state = {
            "record": self.record,
            "pieces": [p.name for p in self.pieces],
            "durations": self.durations,
        }
        data = json.dumps(state).encode()
        write_atomically(self.folder / "state.json", lambda file: file.write(data))

    def remove(self) -> None:
        """The result is whole."""
        shutil.rmtree(self.folder, ignore_errors=True)
