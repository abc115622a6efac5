"""What an image file says about itself, read by Pillow without decoding it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import Image

from superres.imaging import tiff
from superres.imaging.kinds import HEAD, BrokenPicture, Kind, kind_of, why_not

ORIENTATION = 274
"""The EXIF tag."""


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says about itself, without decoding it.

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
    """What the file says, its kind, and Pillow's image of it, not decoded; its page of a TIFF.

    Raises:
        BrokenPicture: damaged, or of a kind that is not read.
    """
    head = file.read(HEAD)
    kind = kind_of(head)
    if kind is None or not kind.name:
        raise BrokenPicture(why_not(head))
    page = image = None
    orientation = 1
    try:
        page = tiff.find_page(file) if kind.name == "tiff" else None
        file.seek(0)
        image = plugin(kind)(file)
        orientation = Image.Image.getexif(image).get(ORIENTATION, 1)
    except BrokenPicture:
        raise
    except Exception as error:  # plugins fail in any way on damaged data
        if page is None:
            raise BrokenPicture(
                f"truncated or damaged in its {kind.name.upper()} header, or not of a known kind "
                f"({error})"
            ) from None
    info = image.info if image is not None else {}
    if page is not None:
        alpha, channels, notes = page.alpha > 0, page.channels, page.notes
        bits = 32 if page.is_float else 8 if page.bits <= 8 else 16
        size, orientation = page.size, page.orientation
    else:
        bits, notes, mode = _bits(kind, image, head), _left_out(kind, image, head), image.mode
        alpha = mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in info
        channels = 1 if mode in ("1", "L", "I") or mode.startswith("I;16") else 3
        size = image.height, image.width
    header = ImageHeader(
        kind.name,
        *size,
        4 if alpha else channels,
        bits,
        alpha,
        orientation if orientation in range(1, 9) else 1,
        "icc_profile" in info,
        tuple(notes),
    )
    return header, kind, image, page


def plugin(kind: Kind) -> Any:
    """Pillow's opener for one kind: its own `open` would try all, and start other programs."""
    if kind.plugin not in Image.OPEN:
        Image.init()
    if kind.plugin not in Image.OPEN:
        raise BrokenPicture(f"{kind.plugin}, which this Pillow does not read; convert it to PNG")
    return Image.OPEN[kind.plugin][0]


def pnm_peak(image: Image.Image) -> int:
    """The largest value of a PNM; Pillow hands it to its decoder where it is not 255 or 65535."""
    arguments = image.tile[0][3]
    if isinstance(arguments, tuple) and len(arguments) > 1 and isinstance(arguments[1], int):
        return arguments[1] or (65535 if image.mode == "I" else 255)
    return 65535 if image.mode in ("I", "I;16B") else 255


def _bits(kind: Kind, image: Image.Image, head: bytes) -> int:
    """8 or 16; for colours of 16 bits Pillow has no mode."""
    if kind.name == "jpeg2000":
        at = head.find(b"\xff\x51")  # the SIZ marker
        bits = (head[at + 40] & 0x7F) + 1 if 0 <= at < len(head) - 40 else 8
        if bits > 8 and (bits != 16 or image.mode not in ("RGB", "I;16")):  # Pillow has them wrong
            raise BrokenPicture(f"a JPEG 2000 of {bits} bits, not read here; convert it to PNG")
        return 16 if bits > 8 else 8
    deep = image.mode == "I" or image.mode.startswith("I;16")
    deep |= kind.name == "png" and bool(image.tile) and ";16B" in str(image.tile[0][3])
    return 16 if deep or (kind.name == "pnm" and pnm_peak(image) > 255) else 8


def _left_out(kind: Kind, image: Image.Image, head: bytes) -> list[str]:
    """What decoding this kind leaves out."""
    notes = []
    with contextlib.suppress(Exception):  # counting frames walks through a damaged file
        if (frames := int(getattr(image, "n_frames", 1))) > 1:
            moving = "animated: " * (kind.name in ("gif", "png", "webp"))
            notes.append(f"{moving}only the first of its {frames} frames is done")
    if image.mode == "CMYK":
        notes.append("CMYK was turned to RGB")
    at = head.find(b"av1C") if kind.name == "avif" else -1
    if at >= 0 and (deep := {0x40: 10, 0x60: 12}.get(head[at + 6] & 0x60)):
        notes.append(f"read with 8 of its {deep} bits")
    return notes
