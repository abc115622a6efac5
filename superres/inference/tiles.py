"""A network on images of any size: whole, in tiles that equal the whole, or by EDSR's chop.

All of it is arithmetic on numpy arrays; what computes is behind `Backend.run`. One plan of tiles,
from the receptive radius and a memory budget, serves files, tests and calls.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from superres.errors import UserError
from superres.inference import windows
from superres.inference.memory import default_budget, empty_cache, is_out_of_memory, on_gpu
from superres.inference.network import Backend

CPU_BUDGET = 768 << 20
"""Bytes that tiles on a CPU may take unless told otherwise, the same on every machine; more only
where a network looks so far that small tiles would compute much twice."""
BLENDED_OVERLAP = 32
"""Overlap, in input pixels, of the tiles of a network that sees the whole image at once."""
SMALLEST_TILE = 16
PROBE = 48
"""Side of the image on which a network's appetite is measured; smaller ones are never cut."""

_WASTE = 1.2  # pixels that a tile sees, over its own, that are worth more memory
_BAND_BYTES = 128 << 20  # of a row of finished tiles

Sides = tuple[int, int]
"""(rows, columns) of tiles, input pixels without context."""


@dataclass(frozen=True)
class Tiling:
    """How images are cut.

    Attributes:
        tile: ``'auto'`` takes the whole image where it fits the memory, else tiles; a number is
            the side of the tiles in input pixels, overlap not counted; ``'edsr-chop'`` is the
            published chop; ``'off'`` or None is always the whole image.
        overlap: pixels that a tile sees beyond its side. None takes the receptive radius, with
            which tiles equal the whole image. Less, or a network without a finite radius, makes
            tiles that are blended and only resemble it; the record says so.
        self_ensemble: average over the eight flips and transposes (EDSR+).
        memory_budget: bytes for the network's work, beside input and output; None is
            `CPU_BUDGET` on a CPU, or what keeps overlaps cheap, up to half of what is free, and
            most of what is free on a GPU.

    Raises:
        UserError: a value that is none of these.
    """

    tile: int | str | None = "auto"
    overlap: int | None = None
    self_ensemble: bool = False
    memory_budget: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tile", parse_tile("off" if self.tile is None else self.tile))
        if self.overlap is not None and self.overlap < 0:
            raise UserError(f"overlap must be at least 0, not {self.overlap}")
        budget = self.memory_budget
        if budget is not None and not (isinstance(budget, numbers.Real) and budget > 0):
            wanted = "a positive number of bytes such as 2 << 30"
            raise UserError(f"memory_budget must be {wanted}, not {budget!r}")


def parse_tile(tile: int | str) -> int | str:
    """The ``--tile`` option: ``auto``, ``off``, ``edsr-chop`` or a number of input pixels."""
    text = str(tile)
    if text in ("auto", "off", "edsr-chop"):
        return text
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise UserError(f"tile must be auto, off, edsr-chop or a positive number, not {text!r}")


@dataclass
class UpscaleRecord:
    """How an image was upscaled.

    Attributes:
        mode: ``'whole'``, ``'tiles'``, ``'blended-tiles'`` or ``'edsr-chop'``.
        tile: input pixels, a side, or (rows, columns) of tiles that are not square.
        overlap: input pixels; both None unless in tiles.
        exact: the result is that of the whole image, up to float rounding.
        notes: sentences for a person: why it is not exact, that memory ran out, ...
    """

    mode: str = "whole"
    tile: int | tuple[int, int] | None = None
    overlap: int | None = None
    exact: bool = True
    notes: list[str] = field(default_factory=list)


class Tiler:
    """A network on images of any size.

    Attributes:
        record: how the last image was upscaled.
    """

    def __init__(self, net: Backend, tiling: Tiling) -> None:
        self.net, self.tiling, self.record = net, tiling, UpscaleRecord()
        radius = net.receptive_radius
        reach = BLENDED_OVERLAP if radius is None else math.ceil(radius)
        self._overlap = reach if tiling.overlap is None else tiling.overlap
        self._exact = radius is not None and self._overlap >= radius
        self._whole = tiling.tile in ("off", "edsr-chop")
        self._cap: Sides | None = None  # to what memory forced us, for the rest
        self._run: windows.Run = net.run
        if tiling.tile == "edsr-chop":
            self._run = partial(windows.chop, self._run, scale=net.scale)
        if tiling.self_ensemble:
            self._run = partial(windows.self_ensemble, self._run)

    def array(self, x: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """(N, C, h, w) floats in the network's range to (N, C, H, W), unclamped."""
        size = size or (x.shape[2] * self.net.scale, x.shape[3] * self.net.scale)
        bands = self.bands(x.shape, lambda low, high: x[:, :, low:high], size)
        return windows.joined(bands, 2, size[0])

    def bands(
        self,
        shape: tuple[int, int, int, int],
        read: windows.Read,
        size: tuple[int, int],
        finish: windows.Run = lambda y: y,
        progress: windows.Progress = windows.quiet,
    ) -> Iterator[np.ndarray]:
        """The result from top to bottom, in bands (N, C', rows, W).

        Only one band and one tile's work are held at a time, unless the tiles are inexact ones.

        Args:
            shape: (N, C, h, w) of the image that ``read`` gives.
            size: (H, W); other than the network's adds MATLAB's bicubic resize.
            finish: what becomes of each part of the result, such as rounding to integers.
            progress: told (done, total) tiles.

        Raises:
            UserError: not enough memory whatever the tiles.
        """
        image, scale = shape[2:], self.net.scale
        sides, top, note = self._cap or (PROBE, PROBE), 0, ""
        while top < size[0]:
            try:
                sides = self._cap or self._sides(shape, size)
                reach = self._overlap
                cut = sides[0] < image[0] or sides[1] < image[1]
                self.record = self._how(sides if cut else None, note)
                if cut and not self._exact:
                    x = windows.as_floats(read(0, image[0]))
                    y = windows.blended(self._run, x, scale, sides, reach, progress)
                    bands = [finish(windows.resized(y, size))]
                else:
                    rows = windows.spans(image[0], scale, size[0], reach, sides[0], top)
                    columns = windows.spans(image[1], scale, size[1], reach, sides[1])
                    bands = windows.in_tiles(read, rows, columns, self._run, finish, progress)
                for band in bands:
                    yield band
                    top += band.shape[2]
                return
            except Exception as error:
                note = self._smaller(error, sides, image)
            # Only here is the failed attempt's memory free: the exception held it until now.
            empty_cache(self.net.device)

    def _how(self, sides: Sides | None, ran_out: str) -> UpscaleRecord:
        """The record of an image that is done whole, or in tiles."""
        if self.tiling.tile == "edsr-chop":
            note = "the published chop: differs slightly from the whole image"
            return UpscaleRecord("edsr-chop", exact=False, notes=[note])
        if sides is None:
            return UpscaleRecord()
        tile = sides[0] if sides[0] == sides[1] else sides
        notes = [ran_out] if ran_out else []
        if self._exact:
            return UpscaleRecord("tiles", tile, self._overlap, notes=notes)
        radius = self.net.receptive_radius
        why = f"the overlap of {self._overlap} px is less than the receptive radius of {radius}"
        if radius is None:
            why = f"the network may look at the whole image (overlap {self._overlap} px)"
        notes.append(f"tiles were blended and differ from the whole image: {why}")
        return UpscaleRecord("blended-tiles", tile, self._overlap, False, notes)

    def _smaller(self, error: Exception, sides: Sides, image: Sides) -> str:
        """Go on with tiles half as large, if memory ran out; the note on it."""
        if not is_out_of_memory(error):
            raise error
        tried = (min(sides[0], image[0]), min(sides[1], image[1]))
        what = f"tiles of {'x'.join(map(str, dict.fromkeys(sides)))} px"
        what = "the whole picture" if tried == image else what
        if self._whole or max(tried) <= SMALLEST_TILE:
            what += f" (of {image[1]}x{image[0]} px)"
            hint = "use tile='auto'" if self._whole else "close other programs"
            hint += ", or use a smaller network or image"
            raise UserError(f"not enough memory on {self.net.device} for {what}: {hint}") from error
        side = max(SMALLEST_TILE, max(tried) // 2)
        self._cap = (side, side)
        return f"memory ran out with {what}: done in tiles of {side} px instead"

    def _sides(self, shape: tuple[int, ...], size: tuple[int, int]) -> Sides:
        """The tiles that were asked for, or the largest that the budget allows."""
        count, channels, height, width = shape
        if isinstance(self.tiling.tile, int):
            return self.tiling.tile, self.tiling.tile
        if self._whole or height * width <= PROBE**2:
            return height, width
        # The network's output is there twice, cut out and resized.
        each = count * (self.net.bytes_per_pixel + 8 * channels * self.net.scale**2)
        context = 2 * self._overlap
        budget = self.tiling.memory_budget or default_budget(self.net.device)
        # Tiles that do not equal the whole image are the last resort.
        if self.tiling.memory_budget is None and self._exact and not on_gpu(self.net.device):
            cheap = context / (1 - _WASTE**-0.5)  # side of what a tile sees
            budget = min(budget, max(CPU_BUDGET, each * cheap**2))
        seen = max(1, int(budget / each))  # pixels
        if height * width <= seen:
            return height, width
        side = seen // min(height, math.isqrt(seen)) - context
        if side < self._overlap > BLENDED_OVERLAP and self.tiling.overlap is None:
            # Tiles that equal the whole image would compute every pixel nine times or more.
            self._overlap, self._exact = BLENDED_OVERLAP, False
            return self._sides(shape, size)
        columns = -(-width // -(-width // max(side, SMALLEST_TILE)))
        rows = seen // min(width, columns + context) - context
        if columns < width:
            row_bytes = 4 * count * channels * size[1] * size[0] / height
            rows = min(rows, int(_BAND_BYTES / row_bytes))
        return min(max(rows, SMALLEST_TILE), height), columns
