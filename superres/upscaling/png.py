"""A PNG written band by band, so that a picture larger than memory can be written."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}
_CHUNK = 1 << 20


class PngWriter:
    """ISO/IEC 15948, 8 or 16 bits, grey or RGB, with or without alpha.

    Args:
        file: where to write; never sought in.
        shape: (H, W, C) of the whole picture.
        dtype: uint8 or uint16.
        icc, exif: blocks to embed.
        chunks: further chunks before the pixels, (kind, data).
        level: of zlib, 0 to 9.
    """

    def __init__(
        self,
        file: BinaryIO,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        icc: bytes | None = None,
        exif: bytes | None = None,
        chunks: Sequence[tuple[bytes, bytes]] = (),
        level: int = 4,
    ) -> None:
        height, width, channels = shape
        self._file, self._pending = file, bytearray()
        self._sample = np.dtype(dtype).itemsize
        self._pixel = self._sample * channels
        self._above = np.zeros(width * self._pixel, np.uint8)
        self._zlib = zlib.compressobj(level)
        file.write(b"\x89PNG\r\n\x1a\n")
        colour = _COLOUR_TYPE[channels]
        head = struct.pack(">IIBBBBB", width, height, 8 * self._sample, colour, 0, 0, 0)
        self._chunk(b"IHDR", head)
        if icc:
            self._chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
            chunks = [c for c in chunks if c[0] != b"sRGB"]
        for kind, data in chunks:
            self._chunk(kind, data)
        if exif:
            self._chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))

    def write(self, rows: np.ndarray) -> None:
        """Add (h, W, C) rows."""
        if self._sample == 2:
            rows = rows.astype(">u2")
        raw = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
        # A few rows at a time: the candidates of each are compared side by side.
        step = max(1, (4 << 20) // raw.shape[1])
        for start in range(0, len(raw), step):
            self._filtered(raw[start : start + step])

    def _filtered(self, raw: np.ndarray) -> None:
        """Filter by Sub, Up or Paeth, whichever has the smallest sum of differences by row."""
        above = np.vstack([self._above, raw[:-1]])
        left, corner = np.zeros_like(raw), np.zeros_like(raw)
        left[:, self._pixel :] = raw[:, : -self._pixel]
        corner[:, self._pixel :] = above[:, : -self._pixel]
        candidates = {1: raw - left, 2: raw - above, 4: raw - _paeth(left, above, corner)}
        sums = np.stack(
            [np.abs(c.view(np.int8).astype(np.int16)).sum(1) for c in candidates.values()]
        )
        kinds = np.array(list(candidates), np.uint8)[sums.argmin(0)]
        out = np.empty((len(raw), raw.shape[1] + 1), np.uint8)
        out[:, 0] = kinds
        for kind, candidate in candidates.items():
            out[kinds == kind, 1:] = candidate[kinds == kind]
        self._above = raw[-1].copy()
        self._pending += self._zlib.compress(out)
        self._flush(_CHUNK)

    def close(self) -> None:
        """Finish the file (which stays open)."""
        self._pending += self._zlib.flush()
        self._flush(1)
        self._chunk(b"IEND", b"")

    def _flush(self, least: int) -> None:
        while len(self._pending) >= least:
            self._chunk(b"IDAT", bytes(self._pending[:_CHUNK]))
            del self._pending[:_CHUNK]

    def _chunk(self, kind: bytes, data: bytes) -> None:
        checksum = zlib.crc32(data, zlib.crc32(kind))
        self._file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum))


def _paeth(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Of the three the one nearest to left + above - corner (section 9.4); ties in that order."""
    a, b, c = (part.astype(np.int16) for part in (left, above, corner))
    to_left, to_above = np.abs(b - c), np.abs(a - c)
    to_corner = np.abs(a + b - 2 * c)
    is_left = (to_left <= to_above) & (to_left <= to_corner)
    return np.where(is_left, left, np.where(to_above <= to_corner, above, corner))
