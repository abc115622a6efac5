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
    probe,
)
from superres.upscaling.video_join import join
from superres.upscaling.writing import make_folder, writing

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
    progress: Progress = lambda done, total: None,
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
    if target.suffix.lower() not in CONTAINERS:
        suffix = target.suffix or "a video without a suffix"
        raise UserError(f"{target}: cannot write {suffix}; use {' '.join(CONTAINERS)}")
    clip = probe(source)
    wanted = enlarger.size(*clip.size)
    size = height, width = wanted[0] + wanted[0] % 2, wanted[1] + wanted[1] % 2
    notes = list(clip.notes)
    if size != wanted:
        notes.append(f"resized to even sides, {width}x{height}, which video codecs ask for")
    parts = _Parts(clip, target, size, settings or Settings("", "", enlarger.scale))
    try:
        with writing(target):
            try:
                for frame in frames(source, max(parts.durations, default=None), clip.deep, notes):
                    parts.write(frame, _enlarge(frame, enlarger, size, clip))
                    count = len(parts.durations) + len(parts.written)
                    progress(count, max(count, clip.frames))
            finally:  # a frame begun is left, a piece begun is closed
                parts.close_piece()
    except KeyboardInterrupt:
        if parts.pieces:
            join(source, parts.pieces, target, parts.durations, notes)
        raise
    if not parts.pieces:
        raise UserError(f"{source}: no frame of it can be decoded")
    count = len(parts.durations)
    progress(count, count)
    end = float(sum(max(parts.durations.items())) * clip.time_base)
    if end < 0.9 * clip.seconds - 0.1:
        notes.append(f"its pictures end at {end:.1f} s of {clip.seconds:.1f} s: truncated?")
    lost = join(source, parts.pieces, target, {}, notes, parts.record)
    shutil.rmtree(parts.folder, ignore_errors=True)
    return VideoResult(clip.size[::-1], (width, height), count, notes, lost)


def _enlarge(frame: Frame, enlarger: Enlarger, size: tuple[int, int], clip: Clip) -> np.ndarray:
    pixels = frame.pixels
    if pixels.shape[:2] != clip.size:
        raise UserError(
            f"{clip.path}: its frames change size, from {clip.size[1]}x{clip.size[0]} to "
            f"{pixels.shape[1]}x{pixels.shape[0]}; cut it there"
        )
    return np.concatenate(list(enlarger.rows(pixels, size=size)))


class _Parts:
    """The pieces so far and how they were made; those made otherwise are thrown away.

    Attributes:
        durations: of the frames of whole pieces, by time, in ticks.
        written: the same of the piece that is being written.
    """

    def __init__(self, clip: Clip, target: Path, size: tuple[int, int], settings: Settings) -> None:
        self.clip, self.size, self.folder = clip, size, parts_folder(target)
        self.codec = CONTAINERS[target.suffix.lower()][1]
        self.durations: dict[int, int] = {}
        self.written: dict[int, int] = {}
        self.pieces: list[Path] = []
        self.record = settings.record(clip.path)
        self._writer: SegmentWriter | None = None
        state = _state(target)
        if difference(str(state.get("record", "")), settings, clip.path) is None:
            pieces = [self.folder / name for name in state["pieces"]]
            if all(piece.is_file() for piece in pieces):
                self.pieces = pieces
                self.durations = {int(k): v for k, v in state["durations"].items()}
        if not self.pieces:
            shutil.rmtree(self.folder, ignore_errors=True)
        make_folder(self.folder)

    def write(self, frame: Frame, pixels: np.ndarray) -> None:
        """Add a frame; a piece that is long enough is closed."""
        if self._writer is None:
            self._piece = self.folder / f"{len(self.pieces):05d}.nut"
            self._writer = SegmentWriter(self._piece, self.clip, frame, self.size, self.codec)
        self._writer.write(frame, pixels)
        self.written[frame.pts] = frame.duration
        if len(self.written) >= SEGMENT_FRAMES:
            self.close_piece()

    def close_piece(self) -> None:
        """Finish the piece that is being written, if there is one; from then on it counts."""
        if self._writer is None:
            return
        closing, self._writer = self._writer, None
        closing.close()
        self.pieces.append(self._piece)
        self.durations |= self.written
        self.written = {}
        names = [piece.name for piece in self.pieces]
        state = {"record": self.record, "pieces": names, "durations": self.durations}
        data = json.dumps(state).encode()
        write_atomically(self.folder / "state.json", lambda file: file.write(data))
