"""A TIFF written strip by strip, so that a picture larger than memory can be written."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

import numpy as np

_ASCII, _SHORT, _LONG, _UNDEFINED, _LONG8 = 2, 3, 4, 7, 16
_STRIP_BYTES = 1 << 18
_CLASSIC_LIMIT = 3_900_000_000


class TiffWriter:
    """TIFF 6.0, or BigTIFF where 4 GiB may be exceeded; Deflate with horizontal differencing.

    Args:
        file: where to write; sought in at the end.
        shape: (H, W, C) of the whole picture, C = 1 to 4 as grey or RGB with or without alpha.
        dtype: uint8 or uint16.
        icc: a profile to embed.
        orientation: 1 to 8.
        record: ASCII text for the tag ProcessingSoftware.
    """

    def __init__(
        self,
        file: BinaryIO,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        icc: bytes | None = None,
        orientation: int = 1,
        record: str | None = None,
        level: int = 4,
    ) -> None:
        self._file, self._shape, self._dtype = file, shape, np.dtype(dtype)
        self._icc, self._orientation, self._level = icc, orientation, level
        self._record = record
        row = shape[1] * shape[2] * self._dtype.itemsize
        self._big = row * shape[0] > _CLASSIC_LIMIT
        self._rows_per_strip = max(1, _STRIP_BYTES // row)
        self._waiting: list[np.ndarray] = []
        self._start = file.tell()
        self._strips: list[tuple[int, int]] = []
        file.write(
            struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0)
            if self._big
            else struct.pack("<2sHI", b"II", 42, 0)
        )

    def write(self, rows: np.ndarray) -> None:
        """Add (h, W, C) rows."""
        self._waiting.append(rows)
        ready = np.concatenate(self._waiting) if len(self._waiting) > 1 else rows
        whole = len(ready) // self._rows_per_strip * self._rows_per_strip
        for start in range(0, whole, self._rows_per_strip):
            self._strip(ready[start : start + self._rows_per_strip])
        self._waiting = [ready[whole:].copy()] if whole < len(ready) else []

    def _strip(self, rows: np.ndarray) -> None:
        differences = rows.copy()
        differences[:, 1:] -= rows[:, :-1]
        data = zlib.compress(differences.astype(self._dtype.newbyteorder("<")), self._level)
        self._strips.append((self._file.tell() - self._start, len(data)))
        self._file.write(data)

    def close(self) -> None:
        """Finish the file (which stays open)."""
        for rows in self._waiting:
            self._strip(rows)
        height, width, channels = self._shape
        offset = _LONG8 if self._big else _LONG
        tags: list[tuple[int, int, list[int] | bytes]] = [
            (256, _LONG, [width]),
            (257, _LONG, [height]),
            (258, _SHORT, [8 * self._dtype.itemsize] * channels),
            (259, _SHORT, [8]),  # Deflate
            (262, _SHORT, [1 if channels < 3 else 2]),
            (273, offset, [start for start, _ in self._strips]),
            (274, _SHORT, [self._orientation]),
            (277, _SHORT, [channels]),
            (278, _LONG, [self._rows_per_strip]),
            (279, offset, [length for _, length in self._strips]),
            (284, _SHORT, [1]),
            (317, _SHORT, [2]),  # horizontal differencing
        ]
        if self._record:
            tags.insert(0, (11, _ASCII, self._record.encode("ascii") + b"\0"))
        if channels in (2, 4):
            tags.append((338, _SHORT, [2]))  # alpha that colours aren't multiplied by
        if self._icc:
            tags.append((34675, _UNDEFINED, self._icc))
        self._directory(tags)

    def _directory(self, tags: list[tuple[int, int, list[int] | bytes]]) -> None:
        inline = 8 if self._big else 4
        entries = []
        for tag, kind, values in tags:
            code = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}.get(kind, "B")
            data = (
                values
                if isinstance(values, bytes)
                else struct.pack(f"<{len(values)}{code}", *values)
            )
            if len(data) > inline:
                at = self._file.tell() - self._start
                self._file.write(data + b"\0" * (len(data) % 2))
                value = struct.pack("<Q" if self._big else "<I", at)
            else:
                value = data.ljust(inline, b"\0")
            entries.append(
                struct.pack("<HHQ" if self._big else "<HHI", tag, kind, len(values)) + value
            )
        if (self._file.tell() - self._start) % 2:
            self._file.write(b"\0")
        at = self._file.tell() - self._start
        self._file.write(struct.pack("<Q" if self._big else "<H", len(entries)))
        self._file.write(b"".join(entries) + b"\0" * inline)
        self._file.seek(self._start + (8 if self._big else 4))
        self._file.write(struct.pack("<Q" if self._big else "<I", at))
        self._file.seek(0, 2)
