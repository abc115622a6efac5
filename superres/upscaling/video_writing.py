"""Upscaled frames to pieces of video, each whole in itself, that can be joined. Needs PyAV."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from superres.files import write_atomically
from superres.upscaling.provenance import Settings, difference
from superres.upscaling.video_reading import EXACT, FULL, Clip, import_av, open_av, rgb_format
from superres.upscaling.writing import make_folder, on_white

SEGMENT_FRAMES = 120
"""Frames per piece: what a killed process has to do again at most."""
_H264 = "libx264 crf=17 preset=medium bf=0 x264-params=force-cfr=1"  # else it declares 1/time base
_VP9 = "libvpx-vp9 crf=24 b=0 lag-in-frames=0 cpu-used=4 auto-alt-ref=0 row-mt=1 deadline=good"
CONTAINERS = {
    **{".mp4": ("mp4", _H264), ".m4v": ("mp4", _H264), ".mov": ("mov", _H264)},
    **{".mkv": ("matroska", _H264), ".ts": ("mpegts", _H264), ".avi": ("avi", _H264)},
    ".webm": ("webm", _VP9),
}
"""Suffix -> container, and codec with its options, of what can be written."""
_WITH_ALPHA = {"mov": "prores_ks profile=4444", "matroska": "ffv1", "avi": "ffv1", "webm": _VP9}


class Coding(NamedTuple):
    """How a result's frames are stored: FFmpeg's codec, its options, and the pixels' format."""

    codec: str
    options: dict[str, str]
    format: str
    alpha: bool


def coding_for(clip: Clip, target: Path, notes: list[str]) -> Coding:
    """The best that the container of ``target`` has for the pixels of ``clip``.

    Args:
        notes: what is lost is added.
    """
    container, codec = CONTAINERS[target.suffix.lower()]
    alpha = clip.alpha and container in _WITH_ALPHA
    name, *options = (_WITH_ALPHA[container] if alpha else codec).split()
    codecs = import_av().codec.codec
    chromas = ("420",) if alpha and container == "webm" else ("420", "422", "444")
    wanted = [f"yuv{'a' * alpha}{chroma}p{bits}" for chroma in chromas for bits in ("", "10le")]
    able = [format for format in codecs.Codec(name, "w").video_formats if format.name in wanted]
    best, loss = codecs.find_best_pix_fmt_of_list(
        able, clip.format.replace("gray", "yuv420p"), clip.alpha
    )
    if clip.alpha and not alpha:
        notes.append(f"{target.suffix} has no transparency: put on white; .mov, .mkv, .webm do")
    if loss & codecs.PixFmtLoss.RESOLUTION:
        notes.append("its colours are stored with fewer lines or columns")
    if loss & codecs.PixFmtLoss.DEPTH:
        notes.append(f"its samples are reduced to {best.components[0].bits} bits")
    return Coding(name, dict(o.split("=", 1) for o in options), best.name, alpha)


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

    Attributes:
        files: of whole pieces.
        durations: of their frames, by time, in ticks.
        written: the same of the piece that is being written.
    """

    def __init__(
        self, clip: Clip, target: Path, size: tuple[int, int], coding: Coding, settings: Settings
    ) -> None:
        self.clip, self.size, self.coding = clip, size, coding
        self.folder, self.record = parts_folder(target), settings.record(clip.path)
        self.files: list[Path] = []
        self.durations: dict[int, int] = {}
        self.written: dict[int, int] = {}
        self._container: Any = None
        state = state_of(target)
        if difference(str(state.get("record", "")), settings, clip.path) is None:
            files = [self.folder / name for name in state["pieces"]]
            if all(file.is_file() for file in files):
                self.files = files
                self.durations = {int(k): v for k, v in state["durations"].items()}
        if not self.files:
            shutil.rmtree(self.folder, ignore_errors=True)
        make_folder(self.folder)

    def write(self, pixels: np.ndarray, pts: int, duration: int) -> None:
        """Add a frame, (H, W, 3 or 4) uint8 or uint16; a piece that is long enough is closed."""
        colours = self.clip.colours
        if pixels.shape[2] == 4 and not self.coding.alpha:
            pixels = on_white(pixels)
        if self._container is None:
            self._begin()
        given = rgb_format(pixels.shape[2] == 4, pixels.dtype == np.uint16)
        frame = import_av().VideoFrame.from_ndarray(pixels, format=given)
        frame = frame.reformat(
            format=self.coding.format,
            src_color_range=FULL,
            dst_colorspace=colours["colorspace"],
            dst_color_range=colours["color_range"],
            **EXACT,
        )
        for tag, value in colours.items():
            setattr(frame, tag, value)
        frame.pts, frame.time_base = pts, self.clip.time_base
        self._mux(self._stream.encode(frame))
        self.written[pts] = duration
        if len(self.written) >= SEGMENT_FRAMES:
            self.close()

    def _begin(self) -> None:
        # AVI wants H.264 as NUT has it; only Matroska keeps the transparency of VP9.
        kind = "nut" if self.coding.codec == "libx264" else "matroska"
        self._file = self.folder / f"{len(self.files):05d}.{kind}"
        container = open_av(self._file, "w", format=kind)
        self._stream = container.add_stream(self.coding.codec, rate=self.clip.rate)
        self._container, context = container, self._stream.codec_context
        context.height, context.width = self.size
        context.pix_fmt = self.coding.format
        self._stream.time_base = context.time_base = self.clip.time_base
        context.options = dict(self.coding.options)
        context.sample_aspect_ratio = self.clip.aspect or 1
        for tag, value in self.clip.colours.items():
            setattr(context, tag, value)

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.dts = packet.pts
            self._container.mux(packet)

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
        self.durations |= self.written
        self.written = {}
        names = [file.name for file in self.files]
        state = {"record": self.record, "pieces": names, "durations": self.durations}
        data = json.dumps(state).encode()
        write_atomically(self.folder / "state.json", lambda file: file.write(data))
