"""JPEG: ITU-T T.81."""

from __future__ import annotations

import re
import struct

from superres.imaging.formats.base import BrokenPicture, Buffer, ImageHeader
from superres.imaging.formats.exif import exif_orientation

# A marker that ends entropy-coded data: not a stuffed 00, not a restart, not a fill byte.
_JPEG_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")


def _jpeg_segments(data: Buffer):
    """Yield (marker, start of the payload, length of the payload) up to EOI."""
    position = 2
    while True:
        if data[position] != 0xFF:
            raise BrokenPicture(f"damaged: no JPEG marker at byte {position}")
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        position += 1
        if marker == 0xD9:
            yield marker, position, 0
            return
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise BrokenPicture(f"damaged: a JPEG segment of length {length} at byte {position}")
        yield marker, position + 2, length - 2
        position += length
        if marker == 0xDA:
            found = _JPEG_MARKER.search(data, position)
            if found is None:
                raise IndexError
            position = found.start()


def parse(data: bytes) -> ImageHeader:
    """The header; IndexError or struct.error where the data ends within it."""
    orientation = 1
    icc = False
    for marker, start, length in _jpeg_segments(data):
        if marker == 0xE1 and data[start : start + 6] == b"Exif\0\0":
            orientation = exif_orientation(data[start + 6 : start + length])
        elif marker == 0xE2 and data[start : start + 11] == b"ICC_PROFILE":
            icc = True
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, components = struct.unpack_from(">BHHB", data, start)
            if components not in (1, 3, 4):
                raise BrokenPicture(f"a JPEG with {components} components")
            if bits != 8:
                raise BrokenPicture(f"a JPEG with {bits} bits per sample; only 8 are read")
            channels = 1 if components == 1 else 3
            return ImageHeader("jpeg", height, width, channels, 8, False, orientation, icc)
        elif marker in (0xD9, 0xDA):
            break
    raise BrokenPicture("a JPEG without a frame header")


def check(data: Buffer, header: ImageHeader) -> None:
    """Raise BrokenPicture where the file is truncated or damaged."""
    scans = 0
    try:
        for marker, _, _ in _jpeg_segments(data):
            scans += marker == 0xDA
    except IndexError:
        raise BrokenPicture("truncated: the JPEG's end marker is missing") from None
    if not scans:
        raise BrokenPicture("a JPEG without pixels")
