"""Arrays to the bytes of picture files."""

from __future__ import annotations

import numpy as np

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2

WRITTEN_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pnm"),
)
_ALPHA_SUFFIXES = (".png", ".tif", ".tiff", ".webp")
_SIXTEEN_BIT_SUFFIXES = (".png", ".tif", ".tiff", ".ppm", ".pgm", ".pnm")


def encode_image(
    image: np.ndarray, suffix: str, *, quality: int | None = None, label: str = "picture"
) -> bytes:
    """The bytes of a picture file; arguments and errors as :func:`write_image`."""
    suffix = suffix.lower()
    if suffix not in WRITTEN_SUFFIXES:
        known = " ".join(WRITTEN_SUFFIXES)
        raise UserError(f"{label}: cannot write the format {suffix or '(no suffix)'}; use {known}.")
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise UserError(
            f"{label}: cannot write an array of shape {image.shape}; it must be (H, W, C) with "
            "C = 1, 3 or 4."
        )
    floats = image.dtype == np.float32 and suffix in (".tif", ".tiff")
    if image.dtype not in (np.uint8, np.uint16) and not floats:
        raise UserError(f"{label}: cannot write {image.dtype} samples; use uint8 or uint16.")
    if image.dtype == np.uint16 and suffix not in _SIXTEEN_BIT_SUFFIXES:
        raise UserError(f"{label}: {suffix} cannot hold 16-bit samples; use .png or .tif.")
    if image.shape[2] == 4 and suffix not in _ALPHA_SUFFIXES:
        raise UserError(f"{label}: {suffix} cannot hold an alpha channel; use .png, .tif or .webp.")
    if suffix == ".pgm" and image.shape[2] == 3:
        raise UserError(f"{label}: .pgm holds grey pictures only; use .ppm.")
    if suffix == ".ppm" and image.shape[2] == 1:
        suffix = ".pgm"
    cv2 = import_cv2()
    options: list[int] = []
    if suffix in (".jpg", ".jpeg"):
        options = [cv2.IMWRITE_JPEG_QUALITY, 95 if quality is None else quality]
    elif suffix == ".webp":
        # OpenCV's rule: a quality above 100 means lossless.
        options = [cv2.IMWRITE_WEBP_QUALITY, 101 if quality is None else quality]
    if image.shape[2] != 1:
        swap = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        image = cv2.cvtColor(np.ascontiguousarray(image), swap)
    try:
        good, data = cv2.imencode(suffix, image, options)
    except cv2.error as error:
        good, data = False, error
    if not good:
        raise UserError(f"{label}: a {image.shape[1]}x{image.shape[0]} picture cannot be encoded.")
    return data.tobytes()
