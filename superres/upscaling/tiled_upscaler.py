"""A network applied to an image of any channels and size, row band by row band, to any scale."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.inference import Backend, Tiler, Tiling
from superres.inference import in_channels as channel_notes
from superres.inference.backends import as_network
from superres.inference.luma import luma
from superres.inference.windows import Progress, quiet, resized
from superres.options import any_scale

_QUANTISED = 64  # rows
# Colours spread this far under what is fully transparent: an edge's neighbourhood as a network
# sees it. Further away nothing of a colour reaches a pixel that shows.
_BLEED = 12
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
        in_channels: of ``net``: 1 or 3; see :func:`channels_of`.
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


class AnyChannels:
    """A network made to take 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels.

    Grey goes through a three-channel network as three equal channels, whose luma is taken. Colour
    goes through a one-channel network as luma; chroma is upscaled bicubically, as the papers of
    such networks do. Alpha is upscaled by the network on its own, held within what the nearest
    pixels have, so that what is opaque stays so and no halo rings around an edge. Beneath
    fully transparent pixels, whose stored colour nobody is meant to see (mostly black), the
    colours around are continued first: that is what keeps edges free of a dark fringe.

    Args:
        net: what it is made of.
        in_channels: of ``net``: 1 or 3.
        channels: of the images: 1 to 4.
    """

    def __init__(self, net: Backend, in_channels: int, channels: int) -> None:
        self.net, self.in_channels, self.bytes_per_pixel = net, in_channels, net.bytes_per_pixel
        self.scale, self.device = net.scale, net.device
        radius = net.receptive_radius
        if radius is not None:
            radius = max(radius, 3) if channels > in_channels else radius  # bicubic chroma
            radius = math.ceil(radius) + (0 if channels % 2 else _BLEED)
        self.receptive_radius = radius

    def run(self, x: np.ndarray) -> np.ndarray:
        """(N, C, h, w) in [0, 1], C = 1 to 4, to (N, C, h * scale, w * scale)."""
        if x.shape[1] % 2:
            return self._colour(x)
        alpha = x[:, -1:]
        colour = self._colour(bleed(x[:, :-1], alpha))
        return np.concatenate([colour, self._alpha(alpha)], 1)

    def _colour(self, x: np.ndarray) -> np.ndarray:
        if x.shape[1] == self.in_channels:
            y = self.net.run(x)
            if y.shape[1] < x.shape[1]:
                raise UserError(f"this network makes {y.shape[1]} channel of {x.shape[1]}")
            return luma(y) if x.shape[1] == 1 and y.shape[1] == 3 else y
        if x.shape[1] == 1:
            return luma(self.net.run(x.repeat(3, 1)))
        grey = luma(x)
        size = (x.shape[2] * self.scale, x.shape[3] * self.scale)
        return resized(x - grey, size) + self.net.run(grey)[:, :1]

    def _alpha(self, alpha: np.ndarray) -> np.ndarray:
        low, high = around(alpha, self.scale)
        if np.array_equal(low, high):  # opaque everywhere, mostly
            return low
        return np.clip(self._colour(alpha), low, high)


def bleed(colour: np.ndarray, alpha: np.ndarray, steps: int = _BLEED) -> np.ndarray:
    """Continue the colours around into where ``alpha`` is 0, a pixel further with each step.

    Args:
        colour: (N, 1 or 3, h, w).
        alpha: (N, 1, h, w).
        steps: pixels; further away the colour becomes a middle grey.
    """
    if (alpha > 0).all():
        return colour
    cv2 = import_cv2()

    def summed(plane: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(plane, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)

    result = np.array(colour, np.float32, order="C")
    for planes, (mask,) in zip(result, (alpha > 0).astype(np.float32), strict=True):
        planes *= mask
        for _ in range(steps):
            weight = summed(mask)
            fresh = (weight > 0.5) & (mask == 0)
            for plane in planes:
                plane[fresh] = summed(plane)[fresh] / weight[fresh]
            mask = np.maximum(mask, fresh)
        planes += 0.5 * (1 - mask)
    return result


def around(alpha: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest of the pixels that an output pixel lies between.

    Those are the ones that bilinear interpolation would mix.

    Args:
        alpha: (N, 1, h, w).

    Returns:
        Two of (N, 1, h * scale, w * scale).
    """
    cv2, wide = import_cv2(), alpha.repeat(scale, 2).repeat(scale, 3)
    near = np.ones((scale // 2 * 2 + 1,) * 2, np.uint8)
    low, high = (np.stack([of(x[0], near)[None] for x in wide]) for of in (cv2.erode, cv2.dilate))
    return low, high


def channels_of(module: object) -> int:
    """How many channels a network takes, 1 or 3; of Y of YCbCr: 3, see `superres.inference.luma`.

    Raises:
        UserError: another number, as it states itself.
    """
    channels = 3 if getattr(module, "studio_luma", False) else channel_notes(module)
    if channels not in (1, 3):
        found = f"this {type(module).__name__} takes {channels} channels"
        raise UserError(f"{found}; expected is RGB (3) or grey (1)")
    return channels
