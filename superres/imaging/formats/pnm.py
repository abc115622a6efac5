"""PNM: PPM, PGM and PBM, binary and plain."""

from __future__ import annotations

import re

from superres.imaging.formats.base import BrokenPicture, Buffer, ImageHeader

_PNM_FIELD = re.compile(rb"(?:\s|#[^\n\r]*[\n\r])+(\d+)")


def _pnm_fields(data: bytes) -> tuple[int, int, int, int, int]:
    """(kind 1 to 6, width, height, largest value, offset of the pixels)."""
    kind = data[1] - ord("0")
    values = []
    position = 2
    for _ in range(2 if kind in (1, 4) else 3):
        found = _PNM_FIELD.match(data, position)
        if found is None or found.end() == len(data):
            raise IndexError
        values.append(int(found.group(1)[:12]))
        position = found.end()
    width, height, peak = (*values, 1)[:3]
    return kind, width, height, peak, position + 1


def parse(data: bytes) -> ImageHeader:
    """The header; IndexError or struct.error where the data ends within it."""
    kind, width, height, peak, _ = _pnm_fields(data)
    if not 1 <= peak <= 65535:
        raise BrokenPicture(f"a PNM with the largest value {peak}")
    return ImageHeader("pnm", height, width, 3 if kind in (3, 6) else 1, 16 if peak > 255 else 8)


def check(data: Buffer, header: ImageHeader) -> None:
    """Raise BrokenPicture where the file is truncated."""
    kind, width, height, peak, offset = _pnm_fields(bytes(data))
    samples = height * width * header.channels
    if kind == 4:
        needed = offset + height * ((width + 7) // 8)
    elif kind in (5, 6):
        needed = offset + samples * (2 if peak > 255 else 1)
    else:
        needed = offset + samples  # plain text: at least one digit per sample
    if len(data) < needed:
        raise BrokenPicture(f"truncated: {len(data)} of {needed} bytes are there")
