"""A low-quality picture that is computed where it is looked at."""

from __future__ import annotations

import numpy as np

from superres.imaging.resize import imresize

# The antialiased bicubic kernel reaches 2 * scale ground-truth pixels to either side of the
# centre; rounded up to whole low-quality pixels with one to spare.
_MARGIN = 3


class LazyBicubic:
    """The exact bicubic reduction of ``gt`` by ``scale``, as an array that is sliced, not stored.

    A slice is computed from the ground-truth pixels that it depends on and equals the same slice
    of the whole reduced picture, borders included.

    Args:
        gt: (H, W, C), both sides multiples of ``scale``.
        scale: whole number.
        border: 'reflect' or 'replicate', as in :func:`superres.imaging.resize.imresize`.
    """

    def __init__(self, gt: np.ndarray, scale: int, border: str = "reflect") -> None:
        self.gt = gt
        self.scale = scale
        self.border = border
        self.shape = (gt.shape[0] // scale, gt.shape[1] // scale, gt.shape[2])
        self.dtype = gt.dtype

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a picture that is made on the fly cannot be had without a copy")
        whole = imresize(np.asarray(self.gt), scale=1 / self.scale, border=self.border)
        return whole if dtype is None else whole.astype(dtype)

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        rows, columns = key
        top, bottom, _ = rows.indices(self.shape[0])
        left, right, _ = columns.indices(self.shape[1])
        # Clipped at the picture's own border, the margin leaves the border rule as it is.
        y0, y1 = max(0, top - _MARGIN), min(self.shape[0], bottom + _MARGIN)
        x0, x1 = max(0, left - _MARGIN), min(self.shape[1], right + _MARGIN)
        s = self.scale
        below = np.asarray(self.gt[y0 * s : y1 * s, x0 * s : x1 * s])
        part = imresize(below, scale=1 / s, border=self.border)
        return part[top - y0 : bottom - y0, left - x0 : right - x0]
