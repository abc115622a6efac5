"""WebP: RFC 9649."""

from __future__ import annotations

import struct

from superres.imaging.formats.base import BrokenPicture, Buffer, ImageHeader, chunk_name


def parse(data: bytes) -> ImageHeader:
    """The header; IndexError or struct.error where the data ends within it."""
    kind = data[12:16]
    if kind == b"VP8X":
        flags = data[20]
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        if len(data) < 30:
            raise IndexError
        alpha = bool(flags & 0x10)
        return ImageHeader(
            "webp", height, width, 4 if alpha else 3, 8, alpha, 1, bool(flags & 0x20)
        )
    if kind == b"VP8L":
        if data[20] != 0x2F:
            raise BrokenPicture("damaged: a lossless WebP without its signature")
        (bits,) = struct.unpack_from("<I", data, 21)
        alpha = bool(bits >> 28 & 1)
        height, width = (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
        return ImageHeader("webp", height, width, 4 if alpha else 3, 8, alpha)
    if kind == b"VP8 ":
        if data[23:26] != b"\x9d\x01\x2a":
            raise BrokenPicture("damaged: a WebP without its start code")
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader("webp", height & 0x3FFF, width & 0x3FFF, 3)
    if len(data) < 30:
        raise IndexError
    raise BrokenPicture(f"a WebP with the unknown chunk {chunk_name(kind)}")


def check(data: Buffer, header: ImageHeader) -> None:
    """Raise BrokenPicture where the file is truncated."""
    (size,) = struct.unpack_from("<I", data, 4)
    if len(data) < size + 8:
        raise BrokenPicture(f"truncated: {len(data)} of {size + 8} bytes are there")
