"""A network applied to an image of any kind and size, row band by row band, to any scale."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np

from superres.errors import UserError
from superres.inference import Tiler, Tiling
from superres.inference.backends import as_network
from superres.inference.windows import Progress, quiet
from superres.options import any_scale
from superres.upscaling.channels import AnyChannels

_QUANTISED = 64  # rows
_USUAL = Tiling()


def target_length(length: int, scale: float) -> int:
    """Pixels after scaling, half rounded up, at least one."""
    return max(1, math.floor(length * scale + 0.5))


def check_scale(scale: float | str) -> float:
    """UserError unless 1 <= scale <= 64; it may be written 'x2'."""
    with contextlib.suppress(argparse.ArgumentTypeError):
        scale = any_scale(scale) if isinstance(scale, str) else scale
    number = isinstance(scale, Real) and not isinstance(scale, bool)  # numpy's, too
    if not (number and 1 <= scale <= 64):
        raise UserError(f"scale must be a number from 1 to 64, or 'x2', not {scale!r}")
    return int(scale) if float(scale).is_integer() else float(scale)


class TiledUpscaler:
    """A network, a scale, and how to go about it.

    Args:
        net: what is computed with: a `superres.inference.Backend`, or a callable on tensors.
        scale: of the result; None is the network's own. Others are made by the network and then
            resized by MATLAB's bicubic, to exactly that size.
        in_channels: of ``net``: 1 or 3; see :func:`superres.upscaling.channels.channels_of`.
        tiling: how images are cut.
    """

    def __init__(
        self, net: Any, scale: float | None = None, in_channels: int = 3, tiling: Tiling = _USUAL
    ) -> None:
        self.scale = int(net.scale) if scale is None else check_scale(scale)
        self.net = as_network(net, in_channels)
        self._in_channels, self._tiling = in_channels, tiling
        self._tilers: dict[int, Tiler] = {}
        self._last: Tiler | None = None

    @property
    def notes(self) -> list[str]:
        """What a person should know of the last image; sentences."""
        return [] if self._last is None else self._last.record.notes

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the result."""
        return target_length(height, self.scale), target_length(width, self.scale)

    def array(self, x: np.ndarray) -> np.ndarray:
        """(N, C, h, w) float32 in [0, 1], C = 1 to 4, to (N, C, H, W), unclamped."""
        return self._tiler(x.shape[1]).array(x, self.size(*x.shape[2:]))

    def upscale(self, image: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """(h, w, C) uint8, uint16 or float32 in [0, 1] to (H, W, C) of the same type."""
        return np.concatenate(list(self.rows(image, size=size)))

    def rows(
        self, image: np.ndarray, progress: Progress = quiet, size: tuple[int, int] | None = None
    ) -> Iterator[np.ndarray]:
        """The result of ``image`` from top to bottom, in bands of (rows, W, C).

        Args:
            image: (h, w, C) uint8, uint16 or float32 in [0, 1], C = 1 to 4.
            progress: told of finished tiles.
            size: (H, W) instead of what the scale gives.
        """
        height, width, channels = image.shape
        bands = self._tiler(channels).bands(
            (1, channels, height, width),
            lambda low, high: image[low:high].transpose(2, 0, 1)[None],
            size or self.size(height, width),
            lambda y: _quantised(y, image.dtype),
            progress,
        )
        return (band[0].transpose(1, 2, 0) for band in bands)

    def _tiler(self, channels: int) -> Tiler:
        if channels not in self._tilers:
            net = AnyChannels(self.net, self._in_channels, channels)
            self._tilers[channels] = Tiler(net, self._tiling)
        self._last = self._tilers[channels]
        return self._last


def _quantised(y: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(1, C, H, W) to integers, clamped and rounded once; they lie in memory as (H, W, C).

    Raises:
        UserError: NaN or infinite values, which have no integer.
    """
    peak = np.float32(1 if dtype.kind == "f" else np.iinfo(dtype).max)
    channels, height, width = y.shape[1:]
    out = np.empty((height, width, channels), dtype).transpose(2, 0, 1)[None]
    # Some rows at a time: a float copy of all of them would be the largest thing in memory.
    for start in range(0, height, _QUANTISED):
        part = np.array(y[:, :, start : start + _QUANTISED], np.float32)
        if not math.isfinite(part.sum()):
            cause = "the weights are broken (a diverged training, or another numeric convention)"
            raise UserError(f"the network's output has NaN or infinite pixels: {cause}")
        np.clip(part, 0, 1, out=part)
        part *= peak
        if dtype.kind != "f":
            np.rint(part, out=part)
        out[:, :, start : start + _QUANTISED] = part
    return out
