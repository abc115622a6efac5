"""The samples of image files, by Pillow, or by OpenCV where that is faster or keeps more bits."""

from __future__ import annotations

import contextlib
import functools
import io
import re
from typing import Literal

import numpy as np
from PIL import Image, ImageCms

from superres.errors import UserError
from superres.imaging import tiff
from superres.imaging._cv2 import import_cv2
from superres.imaging.header import BrokenPicture, ImageHeader, plugin, pnm_peak
from superres.imaging.kinds import Kind

Channels = Literal["rgb", "grey", "unchanged"]

_BAND = 256  # rows


def check_whole(kind: Kind, image: Image.Image, data: bytes, after_header: int) -> None:
    """Refuse what decoders forgive: missing ends, and checksums that do not match."""
    if kind.name == "png":
        if b"\0\0\0\0IEND\xae\x42\x60\x82" not in data[-(1 << 20) :]:
            raise BrokenPicture("truncated: the end of the PNG is missing")
        plugin(kind)(io.BytesIO(data)).verify()
    elif kind.name == "jpeg" and data.find(b"\xff\xd9", after_header) < 0:
        raise BrokenPicture("truncated: the JPEG's end marker is missing")
    elif kind.name == "bmp" and image.tile[0][0] == "raw":
        if len(data) < (size := image.tile[0][2] + image.tile[0][3][1] * image.height):
            raise BrokenPicture(f"truncated: {len(data)} of {size} bytes are there")
    elif kind.name == "webp" and len(data) < (size := int.from_bytes(data[4:8], "little") + 8):
        raise BrokenPicture(f"truncated: {len(data)} of {size} bytes are there")


def decode(header: ImageHeader, image: Image.Image, data: bytes) -> np.ndarray:
    """(H, W, C) uint8 or uint16."""
    plain = image.mode in ("L", "RGB", "RGBA") and "transparency" not in image.info
    deep = header.bits == 16 and (header.format == "png" or image.mode == "RGB")
    if header.format == "pnm" and header.bits == 16:
        return _deep_pnm(image, data)
    if deep or (header.format == "png" and plain):
        return _by_opencv(image, data)
    few = {"L;2": 85, "L;4": 17}.get(str(image.tile[0][3]) if image.tile else "")
    image.load()
    if few and isinstance(image.info.get("transparency"), int):  # Pillow scales the levels only
        image.info["transparency"] *= few
    return from_pillow(image)


def _by_opencv(image: Image.Image, data: bytes) -> np.ndarray:
    """PNG: faster at 8 bits; and the only one that keeps 16 of colours, in JPEG 2000 too."""
    cv2 = import_cv2()
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise BrokenPicture("cannot be decoded; damaged")
    if pixels.ndim == 3:
        # Some rows at a time, in place: a second copy would be the most that is ever in memory.
        code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
        for start in range(0, len(pixels), _BAND):
            pixels[start : start + _BAND] = cv2.cvtColor(pixels[start : start + _BAND], code)
        if image.mode in ("LA", "I;16") or (image.mode == "L" and pixels.shape[2] == 4):
            return np.ascontiguousarray(pixels[..., [0, 3]])
        return pixels
    pixels = pixels[..., None]
    level = image.info.get("transparency")
    if level is not None:  # one grey level of 16 bits
        pixels = np.concatenate([pixels, (pixels != level) * np.uint16(65535)], 2)
    return pixels


def _deep_pnm(image: Image.Image, data: bytes) -> np.ndarray:
    """PGM and PPM of more than 8 bits, which Pillow reduces where they have colours."""
    peak, start = pnm_peak(image), image.tile[0][2]
    shape = image.height, image.width, 1 if image.mode.startswith("I") else 3
    count = int(np.prod(shape))
    if data[:2] in (b"P2", b"P3"):
        text = re.sub(rb"#[^\n\r]*", b"", data[start:])
        values = np.array(text.split()[:count], np.uint32)
    else:
        values = np.frombuffer(data, ">u2", count, start).astype(np.uint32)
    if values.size < count:
        raise BrokenPicture(f"truncated: {values.size} of {count} samples are there")
    if values.max() > peak:
        raise BrokenPicture(f"damaged: a sample of {values.max()} above its largest of {peak}")
    return ((values * 65535 + peak // 2) // peak).astype(np.uint16).reshape(shape)


def decode_tiff(data: bytes, page: tiff.Page) -> np.ndarray:
    """(H, W, C) of a page of a TIFF."""
    if tiff.needs_bands(page):
        return tiff.decode_bands(data, page)
    with tiff.open_page(data, page) as image:
        image.load()
        return from_pillow(image)


def from_pillow(image: Image.Image) -> np.ndarray:
    """(H, W, C) uint8, uint16 or float32 of a Pillow picture; C as in :class:`Picture`.

    Raises:
        UserError: samples beyond [0, 65535], or floats beyond [0, 1].
    """
    mode = image.mode
    if mode == "CMYK":
        image, mode = _cmyk_to_rgb(image), "RGB"
    if mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if mode in ("I", "F"):
        values = np.asarray(image)
        peak = 1 if mode == "F" else 65535
        if not (values.min() >= 0 and values.max() <= peak):
            raise UserError(
                f"a picture of mode {mode} has samples beyond [0, {peak}]: its range is not known; "
                "convert it to 8 or 16 bits"
            )
        return values.astype(np.float32 if mode == "F" else np.uint16)[..., None]
    if mode == "La":
        image = image.convert("LA")
    transparent = "transparency" in image.info
    grey = mode in ("1", "L", "LA", "La")
    alpha = mode in ("LA", "La", "RGBA", "RGBa", "PA") or transparent
    wanted = ("LA" if alpha else "L") if grey else ("RGBA" if alpha else "RGB")
    if mode == "RGBa" or (mode == "P" and wanted == "RGBA") or (mode == "LA" and transparent):
        image = image.convert("RGBA")
    pixels = np.array(image.convert(wanted) if image.mode != wanted else image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _cmyk_to_rgb(image: Image.Image) -> Image.Image:
    """By its own profile where it has one, to sRGB."""
    profile = image.info.get("icc_profile")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    return image.convert("RGB")


@functools.cache
def _eight_of_sixteen() -> np.ndarray:
    """The table v -> round(v / 257) for all 16-bit values (257 is odd: there are no ties)."""
    return ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)


def to_8_bit(image: np.ndarray) -> np.ndarray:
    """uint16 as round(v / 257), floats in [0, 1] as round(255 v), uint8 as it is."""
    if image.dtype == np.uint16:
        return _eight_of_sixteen()[image]
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
    codes = {
        (1, 3): cv2.COLOR_GRAY2RGB,
        (1, 4): cv2.COLOR_GRAY2RGBA,
        (3, 1): cv2.COLOR_RGB2GRAY,
        (3, 4): cv2.COLOR_RGB2RGBA,
        (4, 1): cv2.COLOR_RGBA2GRAY,
        (4, 3): cv2.COLOR_RGBA2RGB,
    }
    changed = cv2.cvtColor(np.ascontiguousarray(image), codes[have, count])
    return changed[..., None] if changed.ndim == 2 else changed
