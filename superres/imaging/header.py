"""What an image file says about itself, read by Pillow without decoding it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import Image

from superres.imaging import tiff
from superres.imaging.kinds import HEAD, Kind, kind_of, why_not

_ORIENTATION = 274


class BrokenPicture(ValueError):
    """The fault of a picture file, in words that follow the file's name and a colon."""


@dataclass(frozen=True)
class ImageHeader:
    """What a picture file says about itself, without decoding it.

    Attributes:
        format: ``png``, ``jpeg``, ``bmp``, ``tiff``, ``webp``, ``pnm``, ``gif``, ``avif``, ...
        height: rows in pixels, as stored (an EXIF rotation is not applied).
        width: columns in pixels, as stored.
        channels: 1 (grey), 3 (RGB; palettes and CMYK too) or 4 (with alpha, grey too).
        bits: bits per decoded sample: 8, 16, or 32 for floats.
        has_alpha: the file carries transparency (alpha channel or transparent palette entries).
        orientation: EXIF/TIFF orientation 1 to 8 where it is found before the pixels, else 1.
        has_icc: an ICC colour profile is embedded.
        notes: what decoding leaves out: frames, pages, bands, bits; sentences.
    """

    format: str
    height: int
    width: int
    channels: int
    bits: int = 8
    has_alpha: bool = False
    orientation: int = 1
    has_icc: bool = False
    notes: tuple[str, ...] = ()


def read_header(file: BinaryIO) -> tuple[ImageHeader, Kind, Image.Image | None, tiff.Page | None]:
    """What the file says, its kind, and Pillow's picture of it, not decoded."""
    head = file.read(HEAD)
    kind = kind_of(head)
    if kind is None or not kind.name:
        raise BrokenPicture(why_not(head))
    page = None
    try:
        if kind.name == "tiff":
            page = tiff.find_page(file)
        file.seek(0)
        image = plugin(kind)(file)
        exif = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except (BrokenPicture, tiff.Refused):
        raise
    except Exception as error:  # plugins fail in any way on damaged data
        if page is not None:
            return _tiff_header(page, {}), kind, None, page
        raise BrokenPicture(
            f"truncated or damaged in its {kind.name.upper()} header, or of no known kind ({error})"
        ) from None
    orientation = exif if exif in range(1, 9) else 1
    if page is not None:
        return _tiff_header(page, image.info), kind, image, page
    deep = _jpeg2000_bits(head) if kind.name == "jpeg2000" else 8
    if deep > 8 and (deep != 16 or image.mode not in ("RGB", "I;16")):  # Pillow has them wrong
        raise BrokenPicture(
            f"a JPEG 2000 of {deep} bits, which is not read here; convert it to PNG"
        )
    notes = _left_out(kind, image, head)
    mode = image.mode
    alpha = mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    grey = mode in ("1", "L", "I") or mode.startswith("I;16")
    deep = mode == "I" or mode.startswith("I;16") or deep == 16 or _deep_colour(kind, image)
    header = ImageHeader(
        kind.name,
        image.height,
        image.width,
        4 if alpha else 1 if grey else 3,
        16 if deep else 8,
        alpha,
        orientation,
        "icc_profile" in image.info,
        tuple(notes),
    )
    return header, kind, image, None


def _tiff_header(page: tiff.Page, info: dict[str, Any]) -> ImageHeader:
    alpha = page.alpha > 0
    channels = 4 if alpha else page.channels
    bits = 32 if page.is_float else 8 if page.bits <= 8 else 16
    icc = "icc_profile" in info
    return ImageHeader(
        "tiff", *page.size, channels, bits, alpha, page.orientation, icc, tuple(page.notes)
    )


def plugin(kind: Kind) -> Any:
    """Pillow's opener for one kind: its own `open` would try all, and start other programs."""
    if kind.plugin not in Image.OPEN:
        Image.init()
    if kind.plugin not in Image.OPEN:
        raise BrokenPicture(f"{kind.plugin}, which this Pillow does not read; convert it to PNG")
    return Image.OPEN[kind.plugin][0]


def _deep_colour(kind: Kind, image: Image.Image) -> bool:
    """16 bits where Pillow has a mode of 8 bits only."""
    if kind.name == "png":
        return bool(image.tile) and ";16B" in str(image.tile[0][3])
    return kind.name == "pnm" and pnm_peak(image) > 255


def pnm_peak(image: Image.Image) -> int:
    """The largest value of a PNM; Pillow hands it to its decoder where it is not 255 or 65535."""
    arguments = image.tile[0][3]
    if isinstance(arguments, tuple) and len(arguments) > 1 and isinstance(arguments[1], int):
        return arguments[1] or (65535 if image.mode == "I" else 255)
    return 65535 if image.mode in ("I", "I;16B") else 255


def _jpeg2000_bits(head: bytes) -> int:
    """Bits per sample, by the SIZ marker."""
    at = head.find(b"\xff\x51")
    return (head[at + 40] & 0x7F) + 1 if 0 <= at < len(head) - 40 else 8


def _left_out(kind: Kind, image: Image.Image, head: bytes) -> list[str]:
    """What decoding this kind leaves out."""
    notes = []
    with contextlib.suppress(Exception):  # counting frames walks through a damaged file
        if (frames := int(getattr(image, "n_frames", 1))) > 1:
            moving = "animated: " * (kind.name in ("gif", "png", "webp"))
            notes.append(f"{moving}only the first of its {frames} frames is done")
    if image.mode == "CMYK":
        notes.append("CMYK was turned to RGB")
    deep = 0
    if kind.name == "avif" and (at := head.find(b"av1C")) >= 0:
        deep = {0x40: 10, 0x60: 12}.get(head[at + 6] & 0x60, 0)
    if deep > 8:
        notes.append(f"read with 8 of its {deep} bits")
    return notes
