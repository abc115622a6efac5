"""The samples of image files, by Pillow, or by OpenCV where that is faster or keeps more bits."""

from __future__ import annotations

import contextlib
import functools
import io
from typing import Literal

import numpy as np
from PIL import Image, ImageCms

from superres.errors import UserError
from superres.imaging import tiff
from superres.imaging._cv2 import import_cv2
from superres.imaging.header import ImageHeader, plugin, pnm_peak
from superres.imaging.kinds import BrokenPicture, Kind

Channels = Literal["rgb", "grey", "unchanged"]

_BAND = 256  # rows


def decode(
    header: ImageHeader,
    kind: Kind,
    image: Image.Image | None,
    page: tiff.Page | None,
    data: bytes,
    after_header: int,
) -> np.ndarray:
    """(H, W, C) uint8, uint16 or float32 of a whole file.

    Raises:
        BrokenPicture, Exception: damaged.
    """
    if page is not None:
        if tiff.needs_bands(page):
            return tiff.decode_bands(data, page)
        with tiff.open_page(data, page) as image:
            image.load()
            return from_pillow(image)
    _check_whole(kind, image, data, after_header)
    if kind.name == "png" or (header.bits == 16 and (kind.name == "pnm" or image.mode == "RGB")):
        return _by_opencv(kind, image, data)
    image.load()
    return from_pillow(image)


def _check_whole(kind: Kind, image: Image.Image, data: bytes, after_header: int) -> None:
    """Refuse what decoders forgive: missing ends, and checksums that do not match."""
    need = 0
    if kind.name == "png":
        if b"\0\0\0\0IEND\xae\x42\x60\x82" not in data[-(1 << 20) :]:
            raise BrokenPicture("truncated: the end of the PNG is missing")
        plugin(kind)(io.BytesIO(data)).verify()
    elif kind.name == "jpeg" and data.find(b"\xff\xd9", after_header) < 0:
        raise BrokenPicture("truncated: the JPEG's end marker is missing")
    elif kind.name == "bmp" and image.tile[0][0] == "raw":
        need = image.tile[0][2] + image.tile[0][3][1] * image.height
    elif kind.name == "pnm" and data[:2] in (b"P5", b"P6") and pnm_peak(image) > 255:
        need = image.tile[0][2] + image.width * image.height * (2 if data[1:2] == b"5" else 6)
    elif kind.name == "webp":
        need = int.from_bytes(data[4:8], "little") + 8
    if len(data) < need:
        raise BrokenPicture(f"truncated: {len(data)} of {need} bytes are there")


def _by_opencv(kind: Kind, image: Image.Image, data: bytes) -> np.ndarray:
    """PNG: faster; and the only one that keeps 16 bits of colours, in PNM and JPEG 2000 too."""
    cv2 = import_cv2()
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise BrokenPicture("cannot be decoded; damaged or truncated")
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape[2] > 1:
        # Some rows at a time, in place: a second copy would be the most that is ever in memory.
        code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
        for start in range(0, len(pixels), _BAND):
            pixels[start : start + _BAND] = cv2.cvtColor(pixels[start : start + _BAND], code)
    if kind.name == "pnm" and (peak := pnm_peak(image)) < 65535:
        if pixels.max() > peak:
            raise BrokenPicture(f"damaged: a sample of {pixels.max()} above its largest of {peak}")
        return ((pixels * np.uint32(65535) + peak // 2) // peak).astype(np.uint16)
    if image.mode in ("LA", "I;16", "L") and pixels.shape[2] == 4:
        return np.ascontiguousarray(pixels[..., [0, 3]])
    level = image.info.get("transparency")
    if pixels.shape[2] == 1 and isinstance(level, int):  # one grey level, as stored
        level *= {"L;2": 85, "L;4": 17}.get(str(image.tile[0][3]), 1)
        level = 255 * bool(level) if image.mode == "1" else level
        opaque = pixels.dtype.type(np.iinfo(pixels.dtype).max)
        pixels = np.concatenate([pixels, (pixels != level) * opaque], 2)
    return pixels


def from_pillow(image: Image.Image) -> np.ndarray:
    """(H, W, C) uint8, uint16 or float32 of a Pillow picture; C as in :class:`Picture`.

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
    transparent = "transparency" in image.info
    wanted = "L" if image.mode in ("1", "L", "LA") else "RGB"
    wanted += "A" * (transparent or image.mode in ("LA", "RGBA", "PA"))
    if transparent and image.mode in ("P", "LA"):
        image = image.convert("RGBA")
    pixels = np.array(image.convert(wanted))
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
    names = {1: "GRAY", 3: "RGB", 4: "RGBA"}
    code = getattr(cv2, f"COLOR_{names[have]}2{names[count]}")
    changed = cv2.cvtColor(np.ascontiguousarray(image), code)
    return changed[..., None] if changed.ndim == 2 else changed
