"""An image in windows: what each sees, what of its result is kept, and how that is joined."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from superres.imaging.kernels import Contributions, contributions

CHOP_SHAVE, CHOP_MIN_SIZE = 10, 160_000
_BLOCK = 16  # outputs per matrix product: the matrix of a resize is a narrow band


Run = Callable[[np.ndarray], np.ndarray]
Read = Callable[[int, int], np.ndarray]
"""(first row, end) to those rows, (N, C, rows, w): floats in [0, 1], or integers of full range."""


@dataclass(frozen=True)
class Window:
    """What makes the output span [start, stop) of one axis.

    Attributes:
        start, stop: output pixels.
        low, high: the input pixels that the network is given.
        skip: output pixels of the network to leave out at the beginning.
        length: how many of the network's to take after that.
        table: where these are then resized, the weights of the whole axis.
        first: the network's pixel, of the whole axis, that ``skip`` leads to.
    """

    start: int
    stop: int
    low: int
    high: int
    skip: int
    length: int
    table: Contributions | None = None
    first: int = 0

    def take(self, y: np.ndarray, dim: int) -> np.ndarray:
        """This window's span of the network's output along ``dim`` (2 or 3), resized exactly.

        Sums are float64, so that they are the same however the axis is cut.
        """
        y = y.swapaxes(2, dim)[:, :, self.skip : self.skip + self.length]
        if self.table is None:
            return y.swapaxes(2, dim)
        out = np.empty((*y.shape[:2], self.stop - self.start, y.shape[3]), y.dtype)
        for a in range(self.start, self.stop, _BLOCK):
            b = min(a + _BLOCK, self.stop)
            indices = self.table.indices[a:b]
            low, high = int(indices.min()), int(indices.max()) + 1
            band = np.zeros((b - a, high - low))
            # add.at, because the border maps several taps to one pixel
            np.add.at(band, (np.arange(b - a)[:, None], indices - low), self.table.weights[a:b])
            piece = y[:, :, low - self.first : high - self.first].astype(np.float64)
            out[:, :, a - self.start : b - self.start] = band @ piece
        return out.swapaxes(2, dim)


class Axis:
    """Rows or columns of one image, from input to output.

    Args:
        length: input pixels.
        native: the network's scale.
        target: output pixels; other than ``length * native`` adds MATLAB's bicubic resize.
        reach: how far the network looks, input pixels.
    """

    def __init__(self, length: int, native: int, target: int, reach: int = 0) -> None:
        self.length, self.native, self.target, self.reach = length, native, target, reach
        inner = length * native
        self._table: Contributions | None = None
        if target != inner:
            self._table = contributions(inner, target, target / inner, "bicubic", True, "reflect")

    def windows(self, size: int, start: int = 0) -> list[Window]:
        """Cut the axis, from output pixel ``start`` on, into the fewest spans of at most ``size``
        input pixels, context aside."""
        span = self.target - start
        count = min(-(-self.length * span // (size * self.target)), span)
        edges = [start + index * span // count for index in range(count + 1)]
        return [self.window(a, b) for a, b in itertools.pairwise(edges)]

    def window(self, start: int, stop: int) -> Window:
        """What the output [start, stop) is made of."""
        first, last = start, stop
        if self._table is not None:
            indices = self._table.indices[start:stop]
            first, last = int(indices.min()), int(indices.max()) + 1
        low = max(0, first // self.native - self.reach)
        high = min(self.length, -(-last // self.native) + self.reach)
        skip = first - low * self.native
        return Window(start, stop, low, high, skip, last - first, self._table, first)


def resized(y: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, C, h, w) floats to (N, C, *size) by MATLAB's bicubic; as it is where it has that size."""
    for dim, target in ((2, size[0]), (3, size[1])):
        y = Axis(y.shape[dim], 1, target).window(0, target).take(y, dim)
    return y


def chop(
    run: Run, x: np.ndarray, scale: int, shave: int = CHOP_SHAVE, min_size: int = CHOP_MIN_SIZE
) -> np.ndarray:
    """(N, C, h, w) to (N, C', h * scale, w * scale) by the published ``--chop``: overlapping
    quarters, quartered again while they are large.

    EDSR-PyTorch at 4f5e2ced, src/model/__init__.py, forward_chop (the RCAN and DRLN authors use
    the same). Halves are computed in input pixels and then multiplied by the scale, which is
    right for every size; the later rewrite fails on odd ones. Not equal to the whole image when
    the network looks further than ``shave``, or pools globally.

    Args:
        shave: input pixels that a quarter reaches beyond the middle.
        min_size: a quarter of at least so many input pixels is split again; more than
            (2 * shave + 1)^2, or splitting would never end.
    """
    out: np.ndarray | None = None
    for top, bottom, a, b in _halves(x.shape[2], shave):
        for left, right, c, d in _halves(x.shape[3], shave):
            part = np.ascontiguousarray(x[:, :, top:bottom, left:right])
            large = part.shape[2] * part.shape[3] >= min_size
            y = chop(run, part, scale, shave, min_size) if large else run(part)
            if out is None:
                size = (x.shape[2] * scale, x.shape[3] * scale)
                out = np.empty((*y.shape[:2], *size), y.dtype)
            rows = slice((a - top) * scale, (b - top) * scale)
            columns = slice((c - left) * scale, (d - left) * scale)
            out[:, :, a * scale : b * scale, c * scale : d * scale] = y[:, :, rows, columns]
    return out


def _halves(length: int, shave: int) -> list[tuple[int, int, int, int]]:
    """What the halves of an axis see, [low, high), and what of each is kept, [a, b)."""
    middle = length // 2
    seen = min(length, middle + shave)
    halves = [(0, seen, 0, middle), (length - seen, length, middle, length)]
    return halves if middle else halves[1:]


def in_tiles(
    read: Read,
    rows: list[Window],
    columns: list[Window],
    run: Run,
    finish: Run = lambda y: y,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[np.ndarray]:
    """Apply ``run`` window by window; gives bands (N, C', rows, W) from top to bottom.

    A tile sees its context of the real image on each side, except beyond the image's own border,
    where the network pads as it would for the whole image. With a context of at least the receptive
    radius the result is therefore that of the whole image, up to float rounding.

    Args:
        finish: applied to each tile's part of the result.
        tick: called after each tile.
    """
    width = columns[-1].stop
    for band in rows:
        source, out = read(band.low, band.high), None
        for column in columns:
            y = run(as_floats(source[..., column.low : column.high]))
            part = finish(column.take(band.take(y, 2), 3))
            if len(columns) == 1:
                out = part
            else:
                if out is None:
                    out = np.empty_like(part, shape=(*part.shape[:3], width))
                out[..., column.start : column.stop] = part
            tick()
        yield out


def joined(bands: Iterable[np.ndarray], height: int) -> np.ndarray:
    """Bands (N, C, rows, W) one below the other, ``height`` rows in all."""
    out, top = None, 0
    for band in bands:
        if band.shape[2] == height:
            return band
        if out is None:
            out = np.empty_like(band, shape=(*band.shape[:2], height, band.shape[3]))
        out[:, :, top : top + band.shape[2]] = band
        top += band.shape[2]
    return out


def as_floats(x: np.ndarray) -> np.ndarray:
    """Floats as they are, contiguous; integers divided by the largest of their type."""
    if x.dtype.kind == "f":
        return np.ascontiguousarray(x)
    floats = x.astype(np.float32, order="C")
    floats /= np.float32(np.iinfo(x.dtype).max)
    return floats


def blended(
    run: Run, x: np.ndarray, scale: int, sides: tuple[int, int], overlap: int
) -> np.ndarray:
    """Tiles that fade into each other across their overlaps, for what no tiles can equal."""
    height, width = x.shape[2:]
    out: np.ndarray | None = None
    for up, down, fade_y in _fades(height, sides[0], scale, overlap):
        for west, east, fade_x in _fades(width, sides[1], scale, overlap):
            y = run(np.ascontiguousarray(x[:, :, up:down, west:east]))
            if out is None:
                out = np.zeros((*y.shape[:2], height * scale, width * scale), y.dtype)
            target = out[:, :, up * scale : down * scale, west * scale : east * scale]
            target += y * fade_y[:, None] * fade_x
    return out


def _fades(length: int, side: int, scale: int, overlap: int) -> list[tuple[int, int, np.ndarray]]:
    """(low, high, weights) of each tile along one axis; the weights add up to 1."""
    total, fades = np.zeros(length * scale, np.float32), []
    for window in Axis(length, 1, length, overlap).windows(side):
        place = slice(window.low * scale, window.high * scale)
        at = (np.arange(place.start, place.stop) + 0.5) / scale
        a, b = window.start, window.stop  # the image's own border does not fade
        rising = np.interp(at, [a - overlap, a + overlap], [a == 0, 1])
        falling = np.interp(at, [b - overlap, b + overlap], [1, b == length])
        weight = np.minimum(rising, falling).astype(np.float32)
        total[place] += weight
        fades.append((place, weight))
    return [(place.start // scale, place.stop // scale, w / total[place]) for place, w in fades]
