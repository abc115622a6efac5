"""PNG: ISO/IEC 15948."""

from __future__ import annotations

import struct
import zlib

from superres.imaging.formats.base import BrokenPicture, Buffer, ImageHeader, chunk_name
from superres.imaging.formats.exif import exif_orientation


def _png_chunks(data: Buffer):
    """Yield (type, start of the chunk's data, length) up to IEND."""
    position = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, position + 8, length
        if kind == b"IEND":
            return
        position += 12 + length


def parse(data: bytes) -> ImageHeader:
    """The header; IndexError or struct.error where the data ends within it."""
    length, kind, width, height, depth, colour = struct.unpack_from(">I4sIIBB", data, 8)
    if kind != b"IHDR" or length != 13:
        raise BrokenPicture("a PNG whose first chunk is not IHDR")
    if struct.unpack_from(">I", data, 29)[0] != zlib.crc32(data[12:29]):
        raise BrokenPicture("damaged: the checksum of its PNG header does not match")
    if colour not in (0, 2, 3, 4, 6):
        raise BrokenPicture(f"a PNG with the unknown colour type {colour}")
    transparent = icc = False
    orientation = 1
    for kind, start, length in _png_chunks(data):
        if kind == b"tRNS":
            transparent = True
        elif kind == b"iCCP":
            icc = True
        elif kind == b"eXIf":
            orientation = exif_orientation(data[start : start + length])
        elif kind in (b"IDAT", b"IEND"):
            break
    alpha = colour in (4, 6) or transparent
    # A grey PNG with one transparent level stays grey: one channel, as OpenCV decodes it.
    channels = 1 if colour == 0 else 4 if alpha else 3
    bits = 16 if depth == 16 else 8
    return ImageHeader("png", height, width, channels, bits, alpha, orientation, icc)


def check(data: Buffer, header: ImageHeader) -> None:
    """Raise BrokenPicture where the file is truncated or damaged."""
    pixels = False
    for kind, start, length in _png_chunks(data):
        pixels = pixels or kind == b"IDAT"
        if start + length + 4 > len(data):
            missing = start + length + 4 - len(data)
            raise BrokenPicture(
                f"truncated: {missing} bytes are missing from its chunk {chunk_name(kind)}"
            )
        (stored,) = struct.unpack_from(">I", data, start + length)
        if zlib.crc32(memoryview(data)[start - 4 : start + length]) != stored:
            raise BrokenPicture(
                f"damaged: the checksum of the chunk {chunk_name(kind)} at byte {start - 8} "
                "does not match"
            )
    if not pixels:
        raise BrokenPicture("a PNG without pixels (no IDAT chunk)")
