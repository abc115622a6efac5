"""A network on images of any size: whole, in tiles that equal the whole, or by EDSR's chop.

All of it is arithmetic on numpy arrays; what computes is behind `Network.run`. One plan of tiles,
from the receptive radius and a memory budget, serves files, tests and calls.
"""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from superres.errors import UserError
from superres.inference.ensemble import self_ensemble
from superres.inference.memory import free_memory, give_back, is_out_of_memory, on_gpu
from superres.inference.network import Network, run_checked
from superres.inference.windows import (
    Axis,
    Read,
    Run,
    as_floats,
    blended,
    chop,
    in_tiles,
    joined,
    resized,
)

CPU_BUDGET = 768 << 20
"""Bytes that tiles on a CPU may take unless told otherwise, the same on every machine; more only
where a network looks so far that small tiles would compute much twice."""
BLENDED_OVERLAP = 32
"""Overlap, in input pixels, of the tiles of a network that sees the whole image at once."""
SMALLEST_TILE = 16
PROBE = 48
"""Side of the image on which a network's appetite is measured; smaller ones are never cut."""

_WASTE = 1.2  # pixels that all tiles see together, over those of the image
_BAND_BYTES = 64 << 20  # of finished rows that wait for a row of tiles to be complete

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
        tile = "off" if self.tile is None else parse_tile(str(self.tile))
        object.__setattr__(self, "tile", tile)
        if self.overlap is not None and self.overlap < 0:
            raise UserError(f"overlap must be at least 0, not {self.overlap}")
        budget = self.memory_budget
        if budget is not None and not (isinstance(budget, numbers.Real) and budget > 0):
            raise UserError(
                f"memory_budget must be a positive number of bytes such as 2 << 30, not {budget!r}"
            )


def parse_tile(text: str) -> int | str:
    """The ``--tile`` option: ``auto``, ``off``, ``edsr-chop`` or a number of input pixels."""
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

    def __init__(self, net: Network, tiling: Tiling) -> None:
        self.net, self.tiling = net, tiling
        self.record = UpscaleRecord()
        radius = net.receptive_radius
        reach = BLENDED_OVERLAP if radius is None else math.ceil(radius)
        self._overlap = reach if tiling.overlap is None else tiling.overlap
        self._exact = radius is not None and self._overlap >= radius
        self._whole = tiling.tile in ("off", "edsr-chop")
        self._cap: Sides | None = None  # to what memory forced us, for the rest
        self._ran_out = ""  # of the current image

    def array(self, x: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """(N, C, h, w) floats in the network's range to (N, C, H, W), unclamped."""
        size = size or (x.shape[2] * self.net.scale, x.shape[3] * self.net.scale)
        return joined(self.bands(x.shape, lambda low, high: x[:, :, low:high], size), size[0])

    def bands(
        self,
        shape: tuple[int, int, int, int],
        read: Read,
        size: tuple[int, int],
        finish: Run = lambda y: y,
        itemsize: int = 4,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[np.ndarray]:
        """The result from top to bottom, in bands (N, C', rows, W).

        Only one band and one tile's work are held at a time, unless the tiles are inexact ones.

        Args:
            shape: (N, C, h, w) of the image that ``read`` gives.
            size: (H, W); other than the network's adds MATLAB's bicubic resize.
            finish: what becomes of each part of the result, such as rounding to integers.
            itemsize: bytes of a finished sample.
            progress: told (done, total) tiles.

        Raises:
            UserError: not enough memory whatever the tiles.
        """
        image = shape[2:]
        sides = image if self._whole else self._cap or self._sides(shape, size, itemsize)
        row_axis, column_axis = (
            Axis(length, self.net.scale, target, self._overlap)
            for length, target in zip(image, size, strict=True)
        )
        self.record, self._ran_out, top = UpscaleRecord(), "", 0
        while top < size[0]:
            try:
                if self._whole or not self._exact:
                    y = self._inexact(as_floats(read(0, image[0])), sides)
                    yield finish(resized(y, size))
                    progress(1, 1)
                    return
                rows, columns = row_axis.windows(sides[0], top), column_axis.windows(sides[1])
                total, done = len(rows) * len(columns), itertools.count(1)
                if total > 1:
                    self._tell(sides)
                tick = partial(_told, progress, done, total)
                for band in in_tiles(read, rows, columns, self._forward, finish, tick):
                    yield band
                    top += band.shape[2]
                return
            except Exception as error:
                sides = self._smaller(error, sides, image)
            # Only here is the failed attempt's memory free: the exception held it until now.
            give_back(self.net.device)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return self._views(partial(run_checked, self.net), x)

    def _views(self, run: Run, x: np.ndarray) -> np.ndarray:
        return self_ensemble(run, x) if self.tiling.self_ensemble else run(x)

    def _inexact(self, x: np.ndarray, sides: Sides) -> np.ndarray:
        """The whole image, the published chop, or tiles that are blended."""
        if self.tiling.tile == "edsr-chop":
            told = "the published chop: differs slightly from the whole picture"
            self.record = UpscaleRecord("edsr-chop", exact=False, notes=[told])
            run = partial(run_checked, self.net)
            return self._views(partial(chop, run, scale=self.net.scale), x)
        if sides[0] >= x.shape[2] and sides[1] >= x.shape[3]:
            return self._forward(x)
        self._tell(sides)
        return blended(self._forward, x, self.net.scale, sides, self._overlap)

    def _smaller(self, error: Exception, sides: Sides, image: Sides) -> Sides:
        """The tiles to go on with after an error: half as large, if memory ran out."""
        if not is_out_of_memory(error):
            raise error
        tried = (min(sides[0], image[0]), min(sides[1], image[1]))
        what = f"tiles of {'x'.join(map(str, dict.fromkeys(sides)))} px"
        what = "the whole picture" if tried == image else what
        if self._whole or max(tried) <= SMALLEST_TILE:
            hint = "use tile='auto'" if self._whole else "close other programs"
            raise UserError(
                f"not enough memory on {self.net.device} for {what} (of {image[1]}x{image[0]} px): "
                f"{hint}, or use a smaller network or picture"
            ) from error
        side = max(SMALLEST_TILE, max(tried) // 2)
        self._ran_out = f"memory ran out with {what}: done in tiles of {side} px instead"
        self._cap = (side, side)
        return self._cap

    def _tell(self, sides: Sides) -> None:
        """Record that the image is done in tiles."""
        tile = sides[0] if sides[0] == sides[1] else sides
        notes = [self._ran_out] if self._ran_out else []
        if not self._exact:
            radius = self.net.receptive_radius
            why = f"the overlap of {self._overlap} px is less than the receptive radius of {radius}"
            if radius is None:
                why = f"the network may look at the whole picture (overlap {self._overlap} px)"
            notes.append(f"tiles were blended and differ from the whole picture: {why}")
        mode = "tiles" if self._exact else "blended-tiles"
        self.record = UpscaleRecord(mode, tile, self._overlap, self._exact, notes)

    def _sides(self, shape: tuple[int, ...], size: tuple[int, int], itemsize: int) -> Sides:
        """The tiles that waste least."""
        count, channels, height, width = shape
        if isinstance(self.tiling.tile, int):
            return self.tiling.tile, self.tiling.tile
        if height * width <= PROBE**2:
            return height, width
        try:
            appetite = self.net.bytes_per_pixel
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return SMALLEST_TILE, SMALLEST_TILE
        # The network's output is there twice, cut out and resized.
        each = count * (appetite + 8 * channels * self.net.scale**2)
        # Rows of the output that wait until their band is complete.
        row_bytes = count * size[1] * channels * itemsize * size[0] / height
        tallest = max(SMALLEST_TILE, int(_BAND_BYTES / row_bytes))
        budget = most = self.tiling.memory_budget or free_memory(self.net.device)
        # Tiles that do not equal the whole image are the last resort.
        if self.tiling.memory_budget is None and self._exact and not on_gpu(self.net.device):
            budget = min(most, CPU_BUDGET)
        while True:
            plans = [(math.inf, SMALLEST_TILE, SMALLEST_TILE)]
            for cuts in range(1, -(-width // SMALLEST_TILE) + 1):
                column = -(-width // cuts)
                seen = min(width, column + 2 * self._overlap)
                fits = int(budget / each / seen)
                rows = height if fits >= height else fits - 2 * self._overlap
                rows = min(rows, height, tallest if cuts > 1 or rows < height else height)
                if rows >= min(SMALLEST_TILE, height):
                    bands = -(-height // rows)
                    cost = bands * min(height, rows + 2 * self._overlap) * cuts * seen
                    plans.append((cost, rows, column))
            cost, rows, column = min(plans, key=lambda plan: plan[0])
            if cost <= _WASTE * height * width or budget >= most:
                return rows, column
            budget = min(2 * budget, most)


def _told(progress: Callable[[int, int], None], done: Iterator[int], total: int) -> None:
    progress(next(done), total)
