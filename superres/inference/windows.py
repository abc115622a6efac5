"""An image in parts: windows that make up the whole, the published chop, blended tiles, views."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from superres.imaging.kernels import plan_pass

CHOP_SHAVE, CHOP_MIN_SIZE = 10, 160_000

Run = Callable[[np.ndarray], np.ndarray]
Read = Callable[[int, int], np.ndarray]
"""(first row, end) to those rows, (N, C, rows, w): floats in [0, 1], or integers of full range."""
Progress = Callable[[int, int], None]
"""Told (done, total) tiles."""


def quiet(done: int, total: int) -> None:
    """A `Progress` that nobody watches."""


@dataclass(frozen=True)
class Window:
    """What makes the output span [start, stop) of one axis.

    Attributes:
        start, stop: output pixels.
        low, high: the input pixels that the network is given.
        skip: output pixels of the network to leave out at the beginning.
        first: the network's pixel, of the whole axis, that ``skip`` leads to.
        blocks: how these are then resized, see `superres.imaging.kernels.Plan`; none: as they are.
    """

    start: int
    stop: int
    low: int
    high: int
    skip: int
    first: int
    blocks: list[tuple[int, int, int, int, np.ndarray]]

    def take(self, y: np.ndarray, dim: int) -> np.ndarray:
        """This window's span of the network's output along ``dim`` (2 or 3), resized exactly.

        Sums are float64, so that they are the same however the axis is cut.
        """
        y = y.swapaxes(2, dim)[:, :, self.skip :]
        if not self.blocks:
            return y[:, :, : self.stop - self.start].swapaxes(2, dim)
        out = np.empty((*y.shape[:2], self.stop - self.start, y.shape[3]), y.dtype)
        for start, stop, low, high, block in self.blocks:
            a, b = max(start, self.start), min(stop, self.stop)
            piece = y[:, :, low - self.first : high - self.first].astype(np.float64)
            out[:, :, a - self.start : b - self.start] = block[a - start : b - start] @ piece
        return out.swapaxes(2, dim)


def spans(
    length: int, scale: int, target: int, reach: int, size: int, start: int = 0
) -> list[Window]:
    """Cut rows or columns into the fewest spans of at most ``size`` input pixels, context aside.

    Args:
        length: input pixels.
        scale: the network's.
        target: output pixels; other than ``length * scale`` adds MATLAB's bicubic resize.
        reach: input pixels that the network is given beyond each span.
        size: see above.
        start: output pixel from which on to cut.
    """
    native, blocks = length * scale, ()
    if target != native:
        key = (native, target, target / native, "bicubic", True, "reflect", 0)
        blocks = plan_pass(*key).blocks
    span = target - start
    count = min(-(-length * span // (size * target)), span)
    edges = [start + index * span // count for index in range(count + 1)]
    found = []
    for a, b in itertools.pairwise(edges):
        own = [block for block in blocks if block[0] < b and block[1] > a]
        first = min([low for _, _, low, _, _ in own], default=a)
        last = max([high for _, _, _, high, _ in own], default=b)
        low = max(0, first // scale - reach)
        high = min(length, -(-last // scale) + reach)
        found.append(Window(a, b, low, high, first - low * scale, first, own))
    return found


def resized(y: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, C, h, w) floats to (N, C, *size) by MATLAB's bicubic; as it is where it has that size."""
    for dim, target in ((2, size[0]), (3, size[1])):
        length = y.shape[dim]
        y = spans(length, 1, target, 0, length)[0].take(y, dim)
    return y


def in_tiles(
    read: Read,
    rows: list[Window],
    columns: list[Window],
    run: Run,
    finish: Run = lambda y: y,
    progress: Progress = quiet,
) -> Iterator[np.ndarray]:
    """Apply ``run`` window by window; gives bands (N, C', rows, W) from top to bottom.

    A tile sees its context of the real image on each side, except beyond the image's own border,
    where the network pads as it would for the whole image. With a context of at least the receptive
    radius the result is therefore that of the whole image, up to float rounding.

    Args:
        finish: applied to each tile's part of the result.
        progress: told of finished tiles.
    """
    total, done = len(rows) * len(columns), itertools.count(1)

    def parts(band: Window) -> Iterator[np.ndarray]:
        source = read(band.low, band.high)
        for column in columns:
            y = run(as_floats(source[..., column.low : column.high]))
            part = finish(column.take(band.take(y, 2), 3))
            progress(next(done), total)
            yield part

    for band in rows:
        yield joined(parts(band), 3, columns[-1].stop)


def joined(parts: Iterable[np.ndarray], dim: int, length: int) -> np.ndarray:
    """Parts (N, C, h, w) put together along ``dim`` (2 or 3), ``length`` pixels in all."""
    out, place = None, 0
    for part in parts:
        if part.shape[dim] == length:
            return part
        if out is None:
            shape = list(part.shape)
            shape[dim] = length
            out = np.empty_like(part, shape=shape)
        end = place + part.shape[dim]
        out.swapaxes(dim, 0)[place:end] = part.swapaxes(dim, 0)
        place = end
    return out


def as_floats(x: np.ndarray) -> np.ndarray:
    """Floats as they are, contiguous; integers divided by the largest of their type."""
    if x.dtype.kind == "f":
        return np.ascontiguousarray(x)
    floats = x.astype(np.float32, order="C")
    floats /= np.float32(np.iinfo(x.dtype).max)
    return floats


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

    def part(rows: slice, columns: slice) -> np.ndarray:
        seen = x[:, :, rows, columns]
        large = seen.shape[2] * seen.shape[3] >= min_size
        return chop(run, seen, scale, shave, min_size) if large else run(seen)

    def row(rows: slice) -> np.ndarray:
        kept = (part(rows, seen)[..., own] for seen, own in _halves(x.shape[3], shave, scale))
        return joined(kept, 3, x.shape[3] * scale)

    bands = (row(seen)[:, :, own] for seen, own in _halves(x.shape[2], shave, scale))
    return joined(bands, 2, x.shape[2] * scale)


def _halves(length: int, shave: int, scale: int) -> list[tuple[slice, slice]]:
    """What either half of an axis sees, and which of its output pixels are kept."""
    middle = length // 2
    seen = min(length, middle + shave)
    first = (slice(0, seen), slice(0, middle * scale))
    last = (slice(length - seen, length), slice((middle - length + seen) * scale, None))
    return [first, last] if middle else [last]


def blended(
    run: Run, x: np.ndarray, scale: int, sides: tuple[int, int], reach: int, progress: Progress
) -> np.ndarray:
    """Tiles that fade into each other across their overlaps, for what no tiles can equal."""
    size = (x.shape[2] * scale, x.shape[3] * scale)
    axes = [spans(x.shape[dim], 1, x.shape[dim], reach, sides[dim - 2]) for dim in (2, 3)]
    out, total = None, np.zeros(size, np.float32)
    for done, (rows, columns) in enumerate(itertools.product(*axes), 1):
        y = run(x[:, :, rows.low : rows.high, columns.low : columns.high])
        if out is None:
            out = np.zeros((*y.shape[:2], *size), y.dtype)
        weight = _fade(rows, x.shape[2], scale, reach)[:, None]
        weight = weight * _fade(columns, x.shape[3], scale, reach)
        place = np.s_[..., *(slice(w.low * scale, w.high * scale) for w in (rows, columns))]
        out[place] += y * weight
        total[place] += weight
        progress(done, len(axes[0]) * len(axes[1]))
    out /= total
    return out


def _fade(window: Window, length: int, scale: int, reach: int) -> np.ndarray:
    """The weights of what a tile makes of one axis; the image's own border does not fade."""
    at = (np.arange(window.low * scale, window.high * scale) + 0.5) / scale
    a, b = window.start, window.stop
    rising = np.interp(at, [a - reach, a + reach], [a == 0, 1])
    falling = np.interp(at, [b - reach, b + reach], [1, b == length])
    return np.minimum(rising, falling).astype(np.float32)


def self_ensemble(run: Run, x: np.ndarray) -> np.ndarray:
    """The mean of ``run`` over the eight flips and transposes of ``x`` (N, C, h, w): EDSR+, x8.

    View i flips the width if bit 0 is set, then the height if bit 1 is, then transposes if bit 2
    is; the result is taken back in the opposite order. The eight float results are averaged
    unclamped, so that whoever rounds does so once (EDSR-PyTorch, src/model/__init__.py,
    forward_x8; Lim et al. 2017, section 3.4).
    """
    total: np.ndarray | None = None
    for index in range(8):
        flips = np.s_[..., :: -1 if index & 2 else 1, :: -1 if index & 1 else 1]
        seen = x[flips].swapaxes(-1, -2) if index & 4 else x[flips]
        y = run(seen)
        y = (y.swapaxes(-1, -2) if index & 4 else y)[flips]
        total = y.copy() if total is None else np.add(total, y, out=total)
    return np.divide(total, 8, out=total)
