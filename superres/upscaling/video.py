"""A film or an animation to a film, frame by frame: in pieces, so that little is done twice.

The pieces lie in a hidden folder beside the result until it is whole. Ctrl-C joins what is there
to a playable file; the same command goes on after the last frame of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from superres.errors import UserError
from superres.upscaling.enlarge import Enlarger, Progress
from superres.upscaling.provenance import Settings
from superres.upscaling.video_join import join, missing_streams
from superres.upscaling.video_reading import INTERLACED, Clip, frames, probe
from superres.upscaling.video_writing import CONTAINERS, Pieces, coding_for
from superres.upscaling.writing import writing


class VideoResult(NamedTuple):
    """What became of a clip.

    Attributes:
        size, result_size: (width, height), display matrix applied.
        frames: of the result.
        notes: sentences for a person.
        lost: ``sound``, ``subtitles``, ...: streams that the result does not hold.
    """

    size: tuple[int, int]
    result_size: tuple[int, int]
    frames: int
    notes: list[str]
    lost: list[str]


def upscale_video(
    source: Path,
    target: Path,
    enlarger: Enlarger,
    progress: Progress = lambda done, total: None,
    settings: Settings | None = None,
    deinterlace: bool = False,
    say: Callable[[str], object] = lambda note: None,
) -> VideoResult:
    """Enlarge a clip; sound, subtitles, times of frames and chapters are kept.

    Memory does not grow with the length. A clip of more than 8 bits gives one of 10 bits.

    Args:
        source: any video that FFmpeg decodes, or an animation.
        target: a suffix of `superres.upscaling.video_writing.CONTAINERS`.
        progress: told of (frames done, about how many there are).
        settings: recorded in the result; pieces of others are thrown away.
        deinterlace: compute the half of each frame that belongs to another moment.
        say: called at the start with each note on what the result will not hold.

    Raises:
        UserError: no PyAV, not a video, or the result cannot be written.
        KeyboardInterrupt: Ctrl-C, after ``target`` was made playable with the frames so far.
    """
    if target.suffix.lower() not in CONTAINERS:
        suffix = target.suffix or "a video without a suffix"
        raise UserError(f"{target}: cannot write {suffix}; use {' '.join(CONTAINERS)}")
    clip = probe(source)
    notes = [note for note in clip.notes if not (deinterlace and note == INTERLACED)]
    coding = coding_for(clip, target, notes)
    wanted = enlarger.size(*clip.size)
    size = height, width = wanted[0] + wanted[0] % 2, wanted[1] + wanted[1] % 2
    if size != wanted:
        notes.append(f"resized to even sides, {width}x{height}, which video codecs ask for")
    for note in notes:
        say(note)
    pieces = Pieces(clip, target, size, coding, settings or Settings("", "", enlarger.scale))
    try:
        with writing(target):
            try:
                done = max(pieces.durations, default=None)
                for pixels, pts, duration in frames(clip, done, notes, deinterlace):
                    pieces.write(_enlarge(pixels, enlarger, size, clip), pts, duration)
                    count = len(pieces.durations) + len(pieces.written)
                    progress(count, max(count, clip.frames))
            finally:  # a frame begun is left, a piece begun is closed
                pieces.close()
    except KeyboardInterrupt:
        if pieces.files:
            join(pieces, target, notes, whole=False)
        raise
    if not pieces.files:
        raise UserError(f"{source}: no frame of it can be decoded")
    count = len(pieces.durations)
    progress(count, count)
    end = float(sum(max(pieces.durations.items())) * clip.time_base)
    if end < 0.9 * clip.seconds - 0.1:
        notes.append(f"its pictures end at {end:.1f} s of {clip.seconds:.1f} s: truncated?")
    join(pieces, target, notes)
    shutil.rmtree(pieces.folder, ignore_errors=True)
    lost = missing_streams(source, target)
    return VideoResult(clip.size[::-1], (width, height), count, notes, lost)


def _enlarge(
    pixels: np.ndarray, enlarger: Enlarger, size: tuple[int, int], clip: Clip
) -> np.ndarray:
    if pixels.shape[:2] != clip.size:
        raise UserError(
            f"{clip.path}: its frames change size, from {clip.size[1]}x{clip.size[0]} to "
            f"{pixels.shape[1]}x{pixels.shape[0]}; cut it there"
        )
    return np.concatenate(list(enlarger.rows(pixels, size=size)))
