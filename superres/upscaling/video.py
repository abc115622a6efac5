"""A film or an animation to a film, frame by frame: in pieces, so that little is done twice.

The pieces lie in a hidden folder beside the result until it is whole. Ctrl-C joins what is there
to a playable file; the same command goes on after the last frame of it. Needs PyAV.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from superres.files import write_atomically
from superres.upscaling import video_reading as reading
from superres.upscaling.provenance import Settings
from superres.upscaling.tiled_upscaler import Progress, TiledUpscaler, quiet
from superres.upscaling.video_join import CONTAINERS, H264, VP9, WITH_ALPHA, join, making
from superres.upscaling.video_reading import Clip
from superres.upscaling.writing import make_folder, on_white

SEGMENT_FRAMES = 120
"""Frames per piece: what a killed process has to do again at most."""


class VideoResult(NamedTuple):
    """What became of a clip.

    Attributes:
        size, result_size: (width, height), display matrix applied.
        frames: of the result.
        notes: sentences for a person.
        lost: see `superres.upscaling.video_join.shortcomings`.
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
        target: a suffix of `superres.upscaling.video_join.CONTAINERS`.
        progress: told of (frames done, about how many there are).
        settings: recorded in the result; pieces of others are thrown away.
        deinterlace: compute the half of each frame that belongs to another moment.
        say: called at the start with each note on what the result will not hold.

    Raises:
        UserError: no PyAV, not a video, or the result cannot be written.
        KeyboardInterrupt: Ctrl-C, after ``target`` was made playable with the frames so far.
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
    try:
        with making(target):
            try:
                done = max(pieces.durations, default=None)
                for pixels, *times in reading.frames(clip, done, notes, deinterlace):
                    pieces.write(upscaler.upscale(pixels, size), *times)
                    count = len(pieces.durations) + len(pieces.written)
                    progress(count, max(count, round(clip.seconds * clip.rate)))
            finally:  # a frame begun is left, a piece begun is closed
                pieces.close()
    except KeyboardInterrupt:
        if pieces.files:
            pieces.save()  # which it may have interrupted
            join(pieces, target, notes, whole=False)
        raise
    count = len(pieces.durations)
    progress(count, count)
    lost = join(pieces, target, notes)
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
        self.save()

    def save(self) -> None:
        """Record the whole pieces, from which the same command goes on."""
        names = [file.name for file in self.files]
        state = {"record": self.record, "pieces": names, "durations": self.durations}
        data = json.dumps(state).encode()
        write_atomically(self.folder / "state.json", lambda file: file.write(data))
