"""Colour: RGB to luma in the studio range that super-resolution papers score in.

The definition is ITU-R BT.601 as MATLAB's ``rgb2ycbcr`` computes it: on an 8-bit scale Y lies in
[16, 235]. OpenCV's own ``COLOR_RGB2YCrCb`` is full range and scores about 1.3 dB lower on the same
images, so it is not used anywhere.
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
"""Y of black on an 8-bit scale; scaled with the data range for deeper images."""


def rgb_to_y(image: np.ndarray, weights: str = "bt601", rounded: bool = False) -> np.ndarray:
    """Luma of an RGB image in the studio range.

    Args:
        image: (H, W, 3) RGB; uint8 or float in [0, 255], or uint16 in [0, 65535].
        weights: a key of ``LUMA_WEIGHTS``.
        rounded: round to whole levels (half up), as MATLAB does for integer images.

    Returns:
        (H, W) float64, [16, 235] on an 8-bit scale (times 257 for uint16).
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"expected an RGB image of shape (H, W, 3), found {image.shape}")
    black = LUMA_OFFSET * (257 if image.dtype == np.uint16 else 1)
    y = cv2.transform(image.astype(np.float64), np.array([[*LUMA_WEIGHTS[weights], black]]))
    return np.floor(y + 0.5) if rounded else y
