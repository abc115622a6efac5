"""TIFF 6.0 and BigTIFF: the first page."""

from __future__ import annotations

import struct

from superres.imaging.formats.base import BrokenPicture, Buffer, ImageHeader

_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}


def _tiff_tags(data: Buffer) -> dict[int, tuple[int, ...]]:
    """The integer tags of the first directory."""
    order = "<" if data[:2] == b"II" else ">"
    (magic,) = struct.unpack_from(order + "H", data, 2)
    big = magic == 43
    (ifd,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, ifd)
    first, step, inline = (ifd + 8, 20, 8) if big else (ifd + 2, 12, 4)
    if count > 4096:
        raise BrokenPicture(f"damaged: a TIFF directory of {count} entries")
    tags = {}
    for i in range(count):
        at = first + i * step
        tag, kind, n = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
        code = _TIFF_TYPES.get(kind)
        if code is None:
            tags.setdefault(tag, ())
            continue
        size = struct.calcsize(order + code) * n
        if size > len(data):
            raise IndexError
        start = at + step - inline
        if size > inline:
            (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, start)
        tags[tag] = struct.unpack_from(f"{order}{n}{code}", data, start)
    return tags


def _first(tags: dict[int, tuple[int, ...]], tag: int, default: int) -> int:
    value = tags.get(tag)
    return value[0] if value else default


def parse(data: bytes) -> ImageHeader:
    """The header; IndexError or struct.error where the data ends within it."""
    tags = _tiff_tags(data)
    width, height = _first(tags, 256, 0), _first(tags, 257, 0)
    bits = max(tags.get(258) or (1,))
    samples = _first(tags, 277, 1)
    photometric = _first(tags, 262, 1)
    if samples > 5 or bits > 64:
        raise BrokenPicture(f"a TIFF with {samples} samples of {bits} bits per pixel")
    if _first(tags, 339, 1) != 1 and bits > 8:
        bits = 32  # floating point or signed: refused by the reader
    # 0 and 1 are grey, 2 RGB, 3 palette, 5 CMYK, 6 YCbCr, 8 Lab.
    colours = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}.get(photometric, 3)
    alpha = samples > colours
    grey = photometric in (0, 1)
    channels = 4 if alpha else 1 if grey else 3
    depth = 8 if bits <= 8 else 16 if bits <= 16 else 32
    orientation = _first(tags, 274, 1)
    orientation = orientation if 1 <= orientation <= 8 else 1
    return ImageHeader("tiff", height, width, channels, depth, alpha, orientation, 34675 in tags)


def check(data: Buffer, header: ImageHeader) -> None:
    """Raise BrokenPicture where the file is truncated or damaged."""
    tags = _tiff_tags(data)
    for offsets, counts in ((273, 279), (324, 325)):
        for start, length in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False):
            if start + length > len(data):
                raise BrokenPicture(
                    f"truncated: {len(data)} of at least {start + length} bytes are there"
                )
    if not tags.get(273) and not tags.get(324):
        raise BrokenPicture("a TIFF without pixels")
