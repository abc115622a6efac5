"""YCbCr of video to RGB and back, rounded once: libswscale loses a level each way."""

from __future__ import annotations

import numpy as np

from superres.imaging._cv2 import import_cv2

# Matrix coefficients of ITU-T H.273, table 4: code -> (weight of red, of blue) in luma.
_WEIGHTS = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),
    5: (0.299, 0.114),  # BT.601
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),  # BT.2020
    10: (0.2627, 0.0593),
}


def to_rgb(planes: np.ndarray, bits: int, space: int, full: bool) -> np.ndarray:
    """Y, Cb, Cr planes of one size to a picture.

    Args:
        planes: (3, H, W) integers of ``bits`` bits.
        space: matrix coefficients, a code of H.273; unknown ones are taken for BT.601.
        full: the full range is used, not the studio's.

    Returns:
        (H, W, 3), uint8, or uint16 for more than 8 bits.
    """
    red, blue = _WEIGHTS.get(space, _WEIGHTS[5])
    (low, luma), (middle, chroma) = _range(bits, full)
    y = (planes[0].astype(np.float32) - low) / luma
    cb, cr = ((p.astype(np.float32) - middle) / chroma for p in planes[1:])
    r = y + 2 * (1 - red) * cr
    b = y + 2 * (1 - blue) * cb
    g = (y - red * r - blue * b) / (1 - red - blue)
    peak, dtype = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    return np.rint(np.clip(np.stack([r, g, b], -1), 0, 1) * peak).astype(dtype)


def to_420(picture: np.ndarray, bits: int, space: int, full: bool) -> np.ndarray:
    """A picture to planar 4:2:0, stacked as PyAV wants it: (H * 3 / 2, W).

    Chroma samples lie between rows and on the left of two columns, as MPEG-2 has them.

    Args:
        picture: (H, W, 3) uint8 or uint16, H and W even.
        bits, space, full: of the result, as in :func:`to_rgb`.
    """
    cv2 = import_cv2()
    red, blue = _WEIGHTS.get(space, _WEIGHTS[5])
    rgb = picture.astype(np.float32) / np.iinfo(picture.dtype).max
    y = rgb @ np.array([red, 1 - red - blue, blue], np.float32)
    (low, luma), (middle, chroma) = _range(bits, full)
    height, width = y.shape
    parts = [y * luma + low]
    for colour, weight in ((2, blue), (0, red)):
        c = (rgb[..., colour] - y) / (2 * (1 - weight))
        # 1 2 1 across at every other column, the mean of two rows.
        kernel = np.array([[0.25, 0.5, 0.25]], np.float32)
        c = cv2.filter2D(c, -1, kernel, borderType=cv2.BORDER_REPLICATE)[:, ::2]
        c = (c[::2] + c[1::2]) / 2
        parts.append(c * chroma + middle)
    peak = (1 << bits) - 1
    flat = np.concatenate([part.ravel() for part in parts])
    stacked = flat.reshape(height * 3 // 2, width)
    return np.rint(np.clip(stacked, 0, peak)).astype(np.uint8 if bits == 8 else np.uint16)


def _range(bits: int, full: bool) -> tuple[tuple[float, float], tuple[float, float]]:
    """((black, white - black), (no colour, span)) of luma and chroma."""
    if full:
        peak = (1 << bits) - 1
        return (0, peak), (1 << (bits - 1), peak)
    unit = 1 << (bits - 8)
    return (16 * unit, 219 * unit), (128 * unit, 224 * unit)
