"""Samples: between Pillow's images and arrays, to 8 bits, to other channels."""

from __future__ import annotations

import contextlib
import io
from typing import Literal

import numpy as np
from PIL import Image, ImageCms

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2

Channels = Literal["rgb", "grey", "unchanged"]


def from_pillow(image: Image.Image) -> np.ndarray:
    """(H, W, C) uint8, uint16 or float32 of a Pillow image; C as in :class:`Image`.

    Raises:
        UserError: samples beyond [0, 65535], or floats beyond [0, 1].
    """
    if image.mode == "CMYK":
        image = _cmyk_to_rgb(image)
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if image.mode in ("I", "F"):
        values, peak = np.asarray(image), 1 if image.mode == "F" else 65535
        if not (values.min() >= 0 and values.max() <= peak):
            raise UserError(
                f"an image of mode {image.mode} has samples beyond [0, {peak}]: its range is not "
                "known; convert it to 8 or 16 bits"
            )
        return values.astype(np.float32 if peak == 1 else np.uint16)[..., None]
    image = image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode))
    wanted = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if "transparency" in image.info or image.mode in ("LA", "RGBA", "PA"):
        wanted, image = wanted + "A", image.convert("RGBA")
    return np.atleast_3d(np.array(image.convert(wanted)))


def _cmyk_to_rgb(image: Image.Image) -> Image.Image:
    """By its own profile where it has one, to sRGB."""
    profile = image.info.get("icc_profile")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    return image.convert("RGB")


def range_fault(values: np.ndarray) -> str:
    """What is wrong with floats that are to lie in [0, 1]; empty where it is little or nothing."""
    low, high = float(values.min()), float(values.max())
    if np.isnan(low):
        return "has NaN samples; replace them"
    if low >= -0.05 and high <= 1.05:  # a little beyond is what filters leave
        return ""
    advice = "divide by 255 or their white, take (x + 1) / 2 of [-1, 1], tone-map what is brighter"
    return f"has samples from {low:g} to {high:g}; they are expected in [0, 1]: {advice}"


def to_8_bit(image: np.ndarray) -> np.ndarray:
    """uint16 as round(v / 257), floats in [0, 1] as round(255 v), uint8 as it is."""
    if image.dtype == np.uint16:  # 257 is odd: there are no ties
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return image if image.dtype == np.uint8 else np.rint(image * 255).astype(np.uint8)


def to_pillow(image: np.ndarray) -> Image.Image:
    """A Pillow image of (H, W, C) uint8, or of one uint16 channel."""
    if image.dtype == np.uint16 and image.shape[2] == 1:
        return Image.fromarray(image[..., 0])
    image = to_8_bit(image)
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def with_channels(image: np.ndarray, wanted: Channels | int) -> np.ndarray:
    """Bring a decoded image, (H, W) or (H, W, C), to ``wanted`` channels; see :func:`read_image`.

    Returns:
        (H, W, C); the image itself where it has them already.
    """
    cv2 = import_cv2()
    have = 1 if image.ndim == 2 else image.shape[2]
    count = {"rgb": 3, "grey": 1}.get(wanted, wanted)
    if have == count:
        return image[..., None] if image.ndim == 2 else image
    names = {1: "GRAY", 3: "RGB", 4: "RGBA"}
    code = getattr(cv2, f"COLOR_{names[have]}2{names[count]}")
    changed = cv2.cvtColor(np.ascontiguousarray(image), code)
    return changed[..., None] if changed.ndim == 2 else changed
