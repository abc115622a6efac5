"""What is known of a picture file before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

Buffer = bytes | memoryview


class BrokenPicture(ValueError):
    """The fault of a picture file, in words that follow the file's name and a colon."""


class NeedMore(Exception):
    """The header goes on beyond the bytes at hand."""


@dataclass(frozen=True)
class ImageHeader:
    """What the header of a picture file says.

    Attributes:
        format: ``png``, ``jpeg``, ``bmp``, ``tiff``, ``webp`` or ``pnm``.
        height: rows in pixels, as stored (an EXIF rotation is not applied).
        width: columns in pixels, as stored.
        channels: 1 (grey), 3 (RGB; palettes and CMYK too) or 4 (RGB and alpha).
        bits: bits per decoded sample: 8, 16, or 32 for TIFFs that are no picture for us.
        has_alpha: the file carries transparency (alpha channel or transparent palette entries).
        orientation: EXIF/TIFF orientation 1 to 8 where it is found before the pixels, else 1.
        has_icc: an ICC colour profile is embedded.
    """

    format: str
    height: int
    width: int
    channels: int
    bits: int = 8
    has_alpha: bool = False
    orientation: int = 1
    has_icc: bool = False


def chunk_name(kind: bytes) -> str:
    """A chunk's four letters, or its bytes where they are none."""
    return kind.decode("ascii") if kind.isalpha() and kind.isascii() else kind.hex()
