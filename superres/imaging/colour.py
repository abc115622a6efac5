"""Colour: RGB to luma and YCbCr in the studio range that super-resolution papers score in.

The definition is ITU-R BT.601 as MATLAB's ``rgb2ycbcr`` computes it: on an 8-bit scale Y lies in
[16, 235] and Cb, Cr in [16, 240]. OpenCV's own ``COLOR_RGB2YCrCb`` is full range and scores
about 1.3 dB lower on the same pictures, so it is not used anywhere.
"""

from __future__ import annotations

import numpy as np

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2

cv2 = import_cv2()

LUMA_WEIGHTS: dict[str, tuple[float, float, float]] = {
    "bt601": (65.481 / 255, 128.553 / 255, 24.966 / 255),
    "super-image": (64.738 / 256, 129.057 / 256, 25.064 / 256),
}
"""Weights of R, G and B in Y. ``super-image`` has that library's misprint (64.738 for 65.738)."""

LUMA_OFFSET = 16.0
"""Y of black on an 8-bit scale; scaled with the data range for deeper pictures."""

_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
_YCBCR_OFFSET = np.array([16.0, 128.0, 128.0])


def luma_weights(name: str) -> np.ndarray:
    """Weights of (R, G, B) in Y, float64 of shape (3,). UserError for an unknown name."""
    try:
        return np.array(LUMA_WEIGHTS[name])
    except KeyError:
        known = ", ".join(LUMA_WEIGHTS)
        raise UserError(f"unknown luma weights {name!r}; known are {known}") from None


def _range_factor(image: np.ndarray) -> float:
    """How many of the picture's levels make one level of an 8-bit scale."""
    return 257.0 if image.dtype == np.uint16 else 1.0


def _require_rgb(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"expected an RGB picture of shape (H, W, 3), found {image.shape}")
    return image


def rgb_to_y(image: np.ndarray, weights: str = "bt601", rounded: bool = False) -> np.ndarray:
    """Luma of an RGB picture in the studio range.

    Args:
        image: (H, W, 3) RGB; uint8 or float in [0, 255], or uint16 in [0, 65535].
        weights: a key of ``LUMA_WEIGHTS``.
        rounded: round to whole levels (half up), as MATLAB does for integer pictures.

    Returns:
        (H, W) float64, [16, 235] on an 8-bit scale (times 257 for uint16).
    """
    image = _require_rgb(image)
    matrix = np.append(luma_weights(weights), LUMA_OFFSET * _range_factor(image))[None]
    y = cv2.transform(image.astype(np.float64), matrix)
    return np.floor(y + 0.5) if rounded else y


def rgb_to_ycbcr(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) RGB, any range ``rgb_to_y`` takes, to unrounded float64 (Y, Cb, Cr)."""
    image = _require_rgb(image)
    offset = _YCBCR_OFFSET * _range_factor(image)
    matrix = np.column_stack([_YCBCR / 255, offset])
    return cv2.transform(image.astype(np.float64), matrix)


def ycbcr_to_rgb(image: np.ndarray, data_range: float = 255.0) -> np.ndarray:
    """The inverse of :func:`rgb_to_ycbcr`: (H, W, 3) (Y, Cb, Cr) to unrounded, unclamped RGB."""
    image = _require_rgb(image)
    inverse = np.linalg.inv(_YCBCR / 255)
    offset = inverse @ (_YCBCR_OFFSET * data_range / 255)
    return cv2.transform(image.astype(np.float64), np.column_stack([inverse, -offset]))
