"""The orientation in an EXIF block."""

from __future__ import annotations

import struct


def exif_orientation(exif: bytes) -> int:
    """The orientation tag of an EXIF block; 1 where there is none or the block is damaged."""
    try:
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        (ifd,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, ifd)
        for i in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", exif, ifd + 2 + 12 * i)
            if tag == 274:
                return value if 1 <= value <= 8 else 1
    except (KeyError, struct.error):
        pass
    return 1
