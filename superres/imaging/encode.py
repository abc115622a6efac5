"""Arrays to the bytes of image files."""

from __future__ import annotations

import io

import numpy as np

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.imaging.tiff import with_tags

_HOLDS = {
    ".png": "1 or 3 or 4 channels of uint8 or uint16",
    **dict.fromkeys((".tif", ".tiff"), "1 or 3 or 4 channels of uint8 or uint16 or float32"),
    ".webp": "1 or 3 or 4 channels of uint8",
    **dict.fromkeys((".jpg", ".jpeg", ".bmp"), "1 or 3 channels of uint8"),
    **dict.fromkeys((".ppm", ".pnm"), "1 or 3 channels of uint8 or uint16"),
    ".pgm": "1 channels of uint8 or uint16",
}
"""What can be written, by suffix."""


def encode_image(
    image: np.ndarray, suffix: str, *, quality: int | None = None, label: str = "image"
) -> bytes:
    """The bytes of an image file; arguments and errors as :func:`write_image`."""
    suffix = suffix.lower()
    if suffix not in _HOLDS:
        known = " ".join(_HOLDS)
        raise UserError(f"{label}: cannot write the format {suffix or '(no suffix)'}; use {known}.")
    image = image[..., None] if image.ndim == 2 else image
    wanted = {f"{image.shape[-1]}", image.dtype.name}
    if image.ndim != 3 or image.size == 0 or not wanted <= {*_HOLDS[suffix].split()}:
        raise UserError(
            f"{label}: {suffix} cannot hold {image.dtype} samples of shape {image.shape}; it holds "
            f"(H, W, C) of {_HOLDS[suffix]}."
        )
    cv2 = import_cv2()
    options = {
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality or 95],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, quality or 101],  # OpenCV's rule: above 100 is lossless
    }.get(suffix.replace("jpeg", "jpg"), [])
    if image.shape[2] == 1:
        suffix = suffix.replace(".ppm", ".pgm")
    else:
        swap = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        image = cv2.cvtColor(np.ascontiguousarray(image), swap)
    data = cv2.imencode(suffix, image, options)[1].tobytes()
    if suffix in (".tif", ".tiff") and image.shape[2] == 4:  # else the fourth band means nothing
        return with_tags(io.BytesIO(data), [(338, 3, (2,))]) + data
    return data
