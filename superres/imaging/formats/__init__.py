"""What picture files say about themselves, and whether they are whole, without decoding them.

Sizes must be known before decoding (a 100,000 x 100,000 header must be refused, a training set's
shapes must be cheap), and decoders forgive what a dataset must not: libjpeg paints the missing
part of a truncated file grey. So the containers are walked here. One module per format, each with
``parse(data) -> ImageHeader`` and ``check(data, header)``.
"""

from __future__ import annotations

import re
import struct
from types import ModuleType

from superres.imaging.formats import bmp, jpeg, png, pnm, tiff, webp
from superres.imaging.formats.base import BrokenPicture, Buffer, ImageHeader, NeedMore

__all__ = ["BrokenPicture", "ImageHeader", "NeedMore", "check_complete", "parse_header"]

# Formats that people do have, named so that the message helps.
_NOT_READ = (
    (rb"GIF8", "a GIF"),
    (rb"....ftyp(avif|avis)", "an AVIF"),
    (rb"....ftyp(hei|mif|msf)", "a HEIC"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL"),
    (rb"v/1\x01", "an OpenEXR"),
    (rb"8BPS", "a Photoshop file"),
    (rb"%PDF", "a PDF"),
    (rb"PK\x03\x04", "a zip archive"),
)


def parse_header(data: bytes, whole: bool = True) -> ImageHeader:
    """The header of a picture held in ``data`` (or in its first bytes: ``whole=False``).

    Raises:
        BrokenPicture: not a picture in a known format, or a header that contradicts itself.
        NeedMore: ``whole`` is False and the header goes on after the end of ``data``.
    """
    if not data:
        raise BrokenPicture("an empty file (0 bytes)")
    try:
        header = _format_of(data).parse(data)
    except (IndexError, OverflowError, struct.error) as error:
        if not whole:
            raise NeedMore from error
        raise BrokenPicture("truncated inside its header") from error
    if header.height < 1 or header.width < 1:
        raise BrokenPicture(f"its header says {header.width}x{header.height} pixels")
    return header


def check_complete(data: bytes, header: ImageHeader) -> None:
    """Walk the whole container of a picture and raise for what is missing or damaged.

    Raises:
        BrokenPicture: truncated, or (PNG) a checksum that doesn't match.
    """
    try:
        _format_of(data).check(data, header)
    except (IndexError, OverflowError, struct.error) as error:
        raise BrokenPicture("truncated") from error


def _format_of(data: Buffer) -> ModuleType:
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return png
    if data[:3] == b"\xff\xd8\xff":
        return jpeg
    if data[:2] == b"BM":
        return bmp
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return tiff
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp
    if re.match(rb"P[1-6]\s", data[:3]):
        return pnm
    for pattern, name in _NOT_READ:
        if re.match(pattern, data[:16], re.DOTALL):
            raise BrokenPicture(f"{name}, which is not read here; convert it to PNG")
    raise BrokenPicture(f"not a picture in a known format; it begins with {_first_bytes(data)}")


def _first_bytes(data: bytes) -> str:
    head = data[:12]
    if head.strip() and all(32 <= byte < 127 or byte in b"\r\n\t" for byte in head):
        return f"the text {head.decode('ascii')!r}"
    return f"the bytes {head.hex(' ')}"
