"""Arrays to the bytes of image files."""

from __future__ import annotations

import io

import numpy as np

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.imaging.tiff import add_tags

_DEEP = ("uint8", "uint16")
_HELD: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    ".png": ((1, 3, 4), _DEEP),
    **dict.fromkeys((".tif", ".tiff"), ((1, 3, 4), (*_DEEP, "float32"))),
    ".webp": ((1, 3, 4), ("uint8",)),
    **dict.fromkeys((".jpg", ".jpeg", ".bmp"), ((1, 3), ("uint8",))),
    **dict.fromkeys((".ppm", ".pnm"), ((1, 3), _DEEP)),
    ".pgm": ((1,), _DEEP),
}
"""Suffix -> numbers of channels and types that can be written."""


def encode_image(
    image: np.ndarray, suffix: str, *, quality: int | None = None, label: str = "image"
) -> bytes:
    """The bytes of an image file; arguments and errors as :func:`write_image`."""
    suffix = suffix.lower()
    if suffix not in _HELD:
        known = " ".join(_HELD)
        raise UserError(f"{label}: cannot write the format {suffix or '(no suffix)'}; use {known}.")
    image = image[..., None] if image.ndim == 2 else image
    channels, types = _HELD[suffix]
    fits = image.ndim == 3 and 0 not in image.shape and image.shape[2] in channels
    if not fits or image.dtype.name not in types:
        raise UserError(
            f"{label}: {suffix} cannot hold {image.dtype} samples of shape {image.shape}; it holds "
            f"(H, W, C) with C = {' or '.join(map(str, channels))} of {' or '.join(types)}."
        )
    cv2 = import_cv2()
    options: list[int] = []
    if suffix in (".jpg", ".jpeg"):
        options = [cv2.IMWRITE_JPEG_QUALITY, 95 if quality is None else quality]
    elif suffix == ".webp":  # OpenCV's rule: a quality above 100 means lossless
        options = [cv2.IMWRITE_WEBP_QUALITY, 101 if quality is None else quality]
    elif suffix == ".ppm" and image.shape[2] == 1:
        suffix = ".pgm"
    if image.shape[2] != 1:
        swap = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        image = cv2.cvtColor(np.ascontiguousarray(image), swap)
    try:
        file = io.BytesIO(cv2.imencode(suffix, image, options)[1].tobytes())
    except cv2.error:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise UserError(f"{label}: an image of {size} pixels cannot be encoded.") from None
    if suffix in (".tif", ".tiff") and image.shape[2] == 4:  # else the fourth band means nothing
        add_tags(file, [(338, 3, (2,))])
    return file.getvalue()
