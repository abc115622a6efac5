"""Images computed part by part on access."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from superres.imaging.io import with_channels
from superres.imaging.resize import imresize

# The antialiased bicubic kernel reaches 2 * scale ground-truth pixels to either side of the
# centre; rounded up to whole low-quality pixels with one to spare.
_MARGIN = 3


class LazyImage:
    """Stands for an array (H, W, C) that is sliced, not stored.

    Args:
        part: ``part(top, bottom, left, right)`` computes these pixels.
    """

    ndim = 3

    def __init__(self, shape: tuple[int, ...], dtype: Any, part: Callable[..., np.ndarray]) -> None:
        self.shape, self.dtype, self._part = shape, dtype, part

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        (top, bottom, _), (left, right, _) = (k.indices(n) for k, n in zip(key, self.shape))
        return self._part(top, bottom, left, right)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return self[:, :].astype(dtype or self.dtype, copy=False)


def reduced(gt: np.ndarray, scale: int, border: str = "reflect") -> LazyImage:
    """The exact bicubic reduction of ``gt``; each part equals that of the whole, borders included.

    Args:
        gt: (H, W, C), both sides multiples of ``scale``.
        scale: whole number.
        border: 'reflect' or 'replicate', as in :func:`superres.imaging.resize.imresize`.
    """
    height, width = gt.shape[0] // scale, gt.shape[1] // scale

    def part(top: int, bottom: int, left: int, right: int) -> np.ndarray:
        # Clipped at the image's own border, the margin leaves the border rule as it is.
        y0, y1 = max(0, top - _MARGIN), min(height, bottom + _MARGIN)
        x0, x1 = max(0, left - _MARGIN), min(width, right + _MARGIN)
        below = np.asarray(gt[y0 * scale : y1 * scale, x0 * scale : x1 * scale])
        made = imresize(below, scale=1 / scale, border=border)
        return made[top - y0 : bottom - y0, left - x0 : right - x0]

    return LazyImage((height, width, gt.shape[2]), gt.dtype, part)


def converted(image: np.ndarray, count: int) -> LazyImage:
    """The image with other channels: 1 is luma, 3 is RGB."""

    def part(top: int, bottom: int, left: int, right: int) -> np.ndarray:
        return with_channels(image[top:bottom, left:right], count)

    return LazyImage((*image.shape[:2], count), image.dtype, part)
