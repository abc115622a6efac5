"""The eight dihedral views of an image as one number, and their application in one copy.

A view is a bit field: 1 flips left-right, 2 flips up-down, 4 then transposes. Transforms only
change the number ``sample['view']``; the pixels are moved once, when the batch is written. numpy's
negative strides are an order of magnitude slower to copy than ``cv2.flip``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from superres.imaging._cv2 import import_cv2

cv2 = import_cv2()

FLIP_HORIZONTAL, FLIP_VERTICAL, TRANSPOSE = 1, 2, 4


def then(first: int, second: int) -> int:
    """The one view that equals ``first`` followed by ``second``."""
    flips = second & 3
    if first & TRANSPOSE:  # the two axes trade places
        flips = (flips >> 1 & 1) | (flips & 1) << 1
    return first ^ flips ^ (second & TRANSPOSE)


def view_shape(shape: tuple[int, ...], view: int) -> tuple[int, ...]:
    """Shape (h, w, c) of an image seen through a view."""
    return (shape[1], shape[0], *shape[2:]) if view & TRANSPOSE else shape


def apply_view(image: np.ndarray, view: int, out: np.ndarray | None = None) -> np.ndarray:
    """The image (h, w, c) seen through ``view``, contiguous, written to ``out`` if given."""
    if out is None:
        out = np.empty(view_shape(image.shape, view), image.dtype)
    # A crop of a large image is gathered row by row first, from wherever its memory is; that is
    # also when rows trade places. What jumps about within rows or across them then finds the
    # pixels in the cache: twice as fast as doing it on the way.
    if view & TRANSPOSE:
        compact = cv2.flip(image, 0) if view & FLIP_VERTICAL else np.ascontiguousarray(image)
        target = _as_cv(out)
        cv2.transpose(compact, target)
        if view & FLIP_HORIZONTAL:  # of the image: the rows of what it has become
            cv2.flip(target, 0, target)
        return out
    if view & FLIP_VERTICAL:
        cv2.flip(image, 0, _as_cv(out))
    else:
        np.copyto(out, image)
    if view & FLIP_HORIZONTAL:
        target = _as_cv(out)
        cv2.flip(target, 1, target)
    return out


def _as_cv(out: np.ndarray) -> np.ndarray:
    # OpenCV takes one channel as two dimensions; a view of the same memory is written to.
    return out[:, :, 0] if out.shape[2] == 1 else out


def made(picture: Any) -> Any:
    """An image that is computed when it is looked at is computed here."""
    return np.asarray(picture) if hasattr(picture, "__array__") else picture


def settle_view(sample: dict[str, Any]) -> dict[str, Any]:
    """Apply a pending view to the pixels, for transforms that look at positions."""
    view = sample.get("view", 0)
    if view:
        for key in ("lq", "gt"):
            picture = sample.get(key)
            if hasattr(picture, "through"):  # a place instead of pixels
                sample[key] = picture.through(view)
            elif picture is not None:
                sample[key] = apply_view(np.asarray(picture), view)
        if "margin" in sample:
            top, bottom, left, right = sample["margin"]
            if view & FLIP_HORIZONTAL:
                left, right = right, left
            if view & FLIP_VERTICAL:
                top, bottom = bottom, top
            turned = (left, right, top, bottom) if view & TRANSPOSE else (top, bottom, left, right)
            sample["margin"] = turned
        sample["view"] = 0
        sample["settled_view"] = then(sample.get("settled_view", 0), view)
    return sample
