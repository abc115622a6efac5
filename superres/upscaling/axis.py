"""One axis of an enlargement: which input a span of the output needs, and the exact resize."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from numbers import Real

import torch

from superres.errors import UserError
from superres.imaging.kernels import Contributions, contributions

_BLOCK = 64  # outputs per matrix product: the matrix of a resize is a narrow band


def target_length(length: int, scale: float) -> int:
    """Pixels after scaling, half rounded up, at least one."""
    return max(1, math.floor(length * scale + 0.5))


@dataclass(frozen=True)
class Window:
    """What makes the output span [start, stop) of one axis.

    Attributes:
        start, stop: output pixels.
        low, high: the input pixels that the network is given.
        skip: output pixels of the network to leave out at the beginning.
        length: how many of the network's to take after that.
    """

    start: int
    stop: int
    low: int
    high: int
    skip: int
    length: int


class Axis:
    """Rows or columns of one picture, from input to output.

    Args:
        length: input pixels.
        native: the network's scale.
        target: output pixels; other than ``length * native`` adds MATLAB's bicubic resize.
        reach: how far the network looks, input pixels.
    """

    def __init__(self, length: int, native: int, target: int, reach: int) -> None:
        self.length, self.native, self.target, self.reach = length, native, target, reach
        inner = length * native
        self._table: Contributions | None = None
        if target != inner:
            self._table = contributions(inner, target, target / inner, "bicubic", True, "reflect")

    def windows(self, size: int) -> list[Window]:
        """Cut the axis into the fewest spans of at most ``size`` input pixels, context aside."""
        count = min(-(-self.length // size), self.target)
        edges = [index * self.target // count for index in range(count + 1)]
        return [self.window(a, b) for a, b in itertools.pairwise(edges)]

    def window(self, start: int, stop: int) -> Window:
        """What the output [start, stop) is made of."""
        first, last = start, stop
        if self._table is not None:
            indices = self._table.indices[start:stop]
            first, last = int(indices.min()), int(indices.max()) + 1
        low = max(0, first // self.native - self.reach)
        high = min(self.length, -(-last // self.native) + self.reach)
        return Window(start, stop, low, high, first - low * self.native, last - first)

    def resize(self, y: torch.Tensor, window: Window, dim: int) -> torch.Tensor:
        """Take the window's span of the network's output along ``dim`` and resize it exactly.

        Sums are float32: the result is within 1e-6 of float64's.
        """
        y = y.narrow(dim, window.skip, window.length)
        if self._table is None:
            return y
        first = window.skip + window.low * self.native
        parts = []
        for a in range(window.start, window.stop, _BLOCK):
            b = min(a + _BLOCK, window.stop)
            indices = torch.from_numpy(self._table.indices[a:b].copy())
            weights = torch.from_numpy(self._table.weights[a:b].copy()).float()
            low, high = int(indices.min()), int(indices.max()) + 1
            band = torch.zeros(b - a, high - low)
            band.scatter_add_(1, indices - low, weights)
            piece = y.narrow(dim, low - first, high - low).float()
            band = band.to(piece.device)
            parts.append(band @ piece if dim == 2 else piece @ band.T)
        return torch.cat(parts, dim)


def check_scale(scale: float) -> float:
    """UserError unless 1 <= scale <= 64."""
    number = isinstance(scale, Real) and not isinstance(scale, bool)  # numpy's, too
    if not (number and 1 <= scale <= 64):
        raise UserError(f"scale must be a number from 1 to 64, not {scale!r}")
    return int(scale) if float(scale).is_integer() else float(scale)
