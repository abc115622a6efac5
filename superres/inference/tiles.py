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
        if not isinstance(self.tile, int):
            tile = "off" if self.tile is None else parse_tile(str(self.tile))
            object.__setattr__(self, "tile", tile)
        for name, value, least in (("tile", self.tile, 1), ("overlap", self.overlap, 0)):
            if isinstance(value, int) and value < least:
                raise UserError(f"{name} must be at least {least}, not {value}")
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
        self._cap: tuple[int, int] | None = None  # to what memory forced us, for the rest
        self._image, self._wanted, self._ran_out = (0, 0), "", ""  # of the current image

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
        height, width = self._image = shape[2:]
        self.record, self._ran_out, self._wanted = UpscaleRecord(), "", "the whole picture"
        if self.tiling.tile in ("off", "edsr-chop") or not self._exact:
            x = read(0, height)
            x = x if x.dtype.kind == "f" else as_floats(x)
            yield finish(resized(self._inexact(x, size, itemsize), size))
            progress(1, 1)
            return
        sides = self._sides(shape, size, itemsize)
        rows = Axis(height, self.net.scale, size[0], self._overlap).windows(sides[0])
        columns = Axis(width, self.net.scale, size[1], self._overlap).windows(sides[1])
        total, done = len(rows) * len(columns), itertools.count(1)
        if total > 1:
            self._tell(sides)
            self._wanted = "tiles of {} px".format("x".join(map(str, dict.fromkeys(sides))))
        yield from in_tiles(
            read, rows, columns, self._run, finish, lambda: progress(next(done), total)
        )

    def _views(self, run: Run, x: np.ndarray) -> np.ndarray:
        return self_ensemble(run, x) if self.tiling.self_ensemble else run(x)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        return self._views(partial(run_checked, self.net), x)

    def _inexact(self, x: np.ndarray, size: tuple[int, int], itemsize: int) -> np.ndarray:
        """The whole image, the chop, or tiles that are blended."""
        tile, run = self.tiling.tile, partial(run_checked, self.net)
        if tile not in ("off", "edsr-chop"):
            return self._run(x, self._sides(x.shape, size, itemsize))
        what = "the whole picture" if tile == "off" else tile
        if tile == "edsr-chop":
            told = "the published chop: differs slightly from the whole picture"
            self.record = UpscaleRecord(tile, exact=False, notes=[told])
            run = partial(chop, run, scale=self.net.scale)
        try:
            return self._views(run, x)
        except Exception as error:
            if is_out_of_memory(error):
                raise UserError(f"{self._no_memory(what)}: use tile='auto'") from error
            raise

    def _run(self, x: np.ndarray, sides: tuple[int, int] | None = None) -> np.ndarray:
        """One window, or one image, cut into tiles of ``sides`` and ever smaller ones for as long
        as memory runs out."""
        height, width = x.shape[2:]
        while True:
            rows, columns = tiles = self._cap or sides or (height, width)
            try:
                if rows >= height and columns >= width:
                    return self._forward(x)
                self._tell(tiles)
                return self._cut(x, tiles)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                side = max(min(rows, height), min(columns, width))
                if side <= SMALLEST_TILE:
                    what = f"tiles of {side} px (overlap {self._overlap})"
                    raise UserError(
                        f"{self._no_memory(what)}: close other programs, or use a smaller network "
                        "or picture"
                    ) from error
            # Only here is the failed attempt's memory free: the exception held it until now.
            give_back(self.net.device)
            side = max(SMALLEST_TILE, side // 2)
            self._cap = (side, side)
            wanted = self._wanted
            self._ran_out = f"memory ran out with {wanted}: done in tiles of {side} px instead"

    def _cut(self, x: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
        scale, (height, width) = self.net.scale, x.shape[2:]
        if not self._exact:
            return blended(self._forward, x, scale, sides, self._overlap)
        rows, columns = (
            Axis(length, scale, length * scale, self._overlap).windows(side)
            for length, side in zip((height, width), sides, strict=True)
        )
        return joined(
            in_tiles(lambda low, high: x[:, :, low:high], rows, columns, self._forward),
            height * scale,
        )

    def _tell(self, sides: tuple[int, int]) -> None:
        """Record that the image is done in tiles."""
        tile = sides[0] if sides[0] == sides[1] else sides
        notes = [self._ran_out] if self._ran_out else []
        if not self._exact:
            radius = self.net.receptive_radius
            why = (
                f"the network may look at the whole picture (overlap {self._overlap} px)"
                if radius is None
                else f"the overlap of {self._overlap} px is less than the receptive radius of "
                f"{radius} px"
            )
            notes.append(f"tiles were blended and differ from the whole picture: {why}")
        mode = "tiles" if self._exact else "blended-tiles"
        self.record = UpscaleRecord(mode, tile, self._overlap, self._exact, notes)

    def _no_memory(self, what: str) -> str:
        height, width = self._image
        return f"not enough memory on {self.net.device} for {what} ({width}x{height} px)"

    def _budgets(self) -> Iterator[float]:
        """Bytes that tiles may take, the preferred number first."""
        if self.tiling.memory_budget is not None:
            yield self.tiling.memory_budget
            return
        free = budget = free_memory(self.net.device)
        # Tiles that do not equal the whole image are the last resort.
        if self._exact and not on_gpu(self.net.device):
            budget = min(free, CPU_BUDGET)
        while budget < free:
            yield budget
            budget *= 2
        yield free

    def _sides(
        self, shape: tuple[int, int, int, int], size: tuple[int, int], itemsize: int
    ) -> tuple[int, int]:
        """(rows, columns) of the tiles, input pixels without context, that waste least."""
        count, channels, height, width = shape
        if isinstance(self.tiling.tile, int):
            return self.tiling.tile, self.tiling.tile
        if height * width <= PROBE**2:
            return height, width
        reach = self._overlap
        # The network's output is there twice, cut out and resized.
        each = count * (self._appetite() + 8 * channels * self.net.scale**2)
        # Rows of the output that wait until their band is complete.
        row_bytes = count * size[1] * channels * itemsize * size[0] / height
        tallest = max(SMALLEST_TILE, int(_BAND_BYTES / row_bytes))
        for budget in self._budgets():
            pixels, plans = budget / each, [(math.inf, SMALLEST_TILE, SMALLEST_TILE)]
            for cuts in range(1, -(-width // SMALLEST_TILE) + 1):
                column = -(-width // cuts)
                seen = min(width, column + 2 * reach)
                rows = height if pixels >= seen * height else int(pixels / seen) - 2 * reach
                rows = min(rows, height, tallest if cuts > 1 or rows < height else height)
                if rows >= min(SMALLEST_TILE, height):
                    bands = -(-height // rows)
                    cost = bands * min(height, rows + 2 * reach) * cuts * seen
                    plans.append((cost, rows, column))
            best = min(plans, key=lambda plan: plan[0])
            if best[0] <= _WASTE * height * width:
                break
        return best[1:]

    def _appetite(self) -> float:
        try:
            return self.net.bytes_per_pixel
        except Exception as error:
            if is_out_of_memory(error):
                return math.inf
            raise
