"""BMP: the OS/2 and Windows headers."""

from __future__ import annotations

import struct

from superres.imaging.formats.base import BrokenPicture, Buffer, ImageHeader


def _bmp_fields(data: Buffer) -> tuple[int, int, int, int, int, int]:
    """(header size, pixel offset, width, height, bits per pixel, compression)."""
    offset, size = struct.unpack_from("<II", data, 10)
    if size == 12:
        width, height, _, bpp = struct.unpack_from("<HHHH", data, 18)
        return size, offset, width, height, bpp, 0
    if not 16 <= size <= 512:
        raise BrokenPicture(f"damaged: a BMP header of {size} bytes")
    width, height, _, bpp, compression = struct.unpack_from("<iiHHI", data, 18)
    return size, offset, width, abs(height), bpp, compression


def parse(data: bytes) -> ImageHeader:
    """The header; IndexError or struct.error where the data ends within it."""
    size, _, width, height, bpp, _ = _bmp_fields(data)
    if bpp not in (1, 2, 4, 8, 16, 24, 32):
        raise BrokenPicture(f"a BMP with {bpp} bits per pixel")
    channels = 3
    if bpp <= 8:
        used = 0 if size == 12 else struct.unpack_from("<I", data, 46)[0]
        entry = 3 if size == 12 else 4
        length = entry * min(used or 1 << bpp, 1 << bpp)
        table = data[14 + size : 14 + size + length]
        if len(table) < length:
            raise IndexError
        grey = table[0::entry] == table[1::entry] == table[2::entry]
        channels = 1 if grey else 3
    return ImageHeader("bmp", height, width, channels)


def check(data: Buffer, header: ImageHeader) -> None:
    """Raise BrokenPicture where the file is truncated or damaged."""
    size, offset, width, height, bpp, compression = _bmp_fields(data)
    if compression in (0, 3, 6):
        needed = offset + (width * bpp + 31) // 32 * 4 * height
    else:
        needed = offset + (struct.unpack_from("<I", data, 34)[0] if size > 12 else 1)
    if len(data) < needed:
        raise BrokenPicture(f"truncated: {len(data)} of {needed} bytes are there")
