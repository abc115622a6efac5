"""Packed pictures: decoded pixels in LMDB, read in place."""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from superres.datasets.storage import format as layout
from superres.datasets.storage.base import PictureStore
from superres.datasets.storage.environment import Environment, open_environment
from superres.datasets.storage.names import PackedNames
from superres.errors import UserError


class ImageLmdb(PictureStore):
    """A database written by :func:`superres.datasets.pack.pack_images`.

    ``read`` returns a read-only view on the memory map: nothing is copied, and a crop of it
    touches only the pages that it needs. The pages belong to the system's file cache, shared by
    all processes, so a worker's own memory does not grow with the dataset. The index is not read
    into Python objects either.

    Args:
        path: the database folder.

    Raises:
        UserError: missing, truncated, not packed by superres, a newer format, an unfinished
            pack, or a damaged index; says what to do.

    Attributes:
        info: what the packer noted (``scale``, ``source``, ``kind``, ...).
        channels: the numbers of channels that its pictures have.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._opened: _Opened | None = None
        opened = _Opened(self.path, check=True)
        self._crc32 = opened.crc32
        self._count = len(opened.index)
        self.info = opened.info
        codes = opened.index["code"]
        code = int(codes.max())
        if code >= len(layout.SAMPLE_TYPES):
            raise UserError(f"{self.path}: its index names an unknown sample type.")
        self._dtype = layout.SAMPLE_TYPES[code] if code == codes.min() else None
        self.channels = set(np.unique(opened.index["channels"]).tolist())
        self._opened = opened

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": None}

    def __len__(self) -> int:
        return self._count

    @property
    def dtype(self) -> np.dtype | None:
        return self._dtype

    def names(self) -> Sequence[str]:
        return self._open().names

    def shape_at(self, i: int) -> tuple[int, int, int]:
        return self._record(i)[3:6]

    def dtype_at(self, i: int) -> np.dtype:
        """The sample type of picture ``i``: uint8 or uint16."""
        return layout.SAMPLE_TYPES[self._record(i)[6]]

    def read_at(self, i: int) -> np.ndarray:
        """Picture ``i`` as a read-only view on the memory map.

        Raises:
            UserError: the entry is missing or has the wrong length: the file is damaged.
        """
        key, _, offset, height, width, channels, code, _, _ = self._record(i)
        opened = self._open()
        dtype = layout.SAMPLE_TYPES[code]
        if offset and opened.pixels is not None:
            try:
                return np.ndarray((height, width, channels), dtype, opened.pixels, offset)
            except (TypeError, ValueError, OverflowError):  # beyond the end of the file
                raise self._damaged(i) from None
        value = opened.environment.get(layout.entry_key(key))
        if value is None or len(value) != height * width * channels * dtype.itemsize:
            raise self._damaged(i)
        return opened.environment.array(value, dtype, (height, width, channels))

    def _damaged(self, i: int) -> UserError:
        return UserError(
            f"{self.path}: the entry {self.name_at(i)!r} is damaged. Prepare or pack it "
            "again with --overwrite, or restore a copy."
        )

    def checksum_at(self, i: int) -> int:
        """The CRC-32 that was stored with the pixels of picture ``i``."""
        return self._record(i)[8]

    def verify_entry(self, i: int) -> bool:
        """Whether the pixels of picture ``i`` have the checksum that was stored with them."""
        return zlib.crc32(self.read_at(i)) == self.checksum_at(i)

    def read_verified_at(self, i: int) -> np.ndarray:
        image = self.read_at(i)
        if zlib.crc32(image) != self.checksum_at(i):
            raise UserError(
                f"{self.path}: the pixels of {self.name_at(i)!r} do not match their checksum. "
                "Prepare or pack it again with --overwrite, or restore a copy."
            )
        return image

    def read_checked_at(self, i: int) -> np.ndarray:
        i = self._check_number(i)
        opened = self._open()
        if opened.checked[i]:
            return self.read_at(i)
        opened.read_ahead(int(opened.index[i]["offset"]), self.read_at(i).nbytes)
        image = self.read_verified_at(i)
        opened.checked[i] = 1
        return image

    def changed(self) -> str:
        return self._open().environment.changed()

    def close(self) -> None:
        self._opened = None

    def _find(self, name: str) -> int:
        return self._open().names.find(name)

    def _record(self, i: int) -> tuple:
        """The record of picture ``i`` as plain integers, in the order of ``format.RECORD``."""
        return self._open().index[self._check_number(i)].item()

    def _open(self) -> _Opened:
        opened = self._opened
        if opened is None or opened.pid != os.getpid():
            # Let go first: after a fork, what the parent opened has to be gone before this
            # process can open the database for itself.
            self._opened = opened = None
            self._opened = opened = _Opened(self.path, check=False)
            if opened.crc32 != self._crc32:
                raise UserError(f"{self.path}: was packed anew while it was in use. Start again.")
        return opened


class _Opened:
    """What one process has open of a database."""

    def __init__(self, path: Path, check: bool) -> None:
        environment = open_environment(path)
        header = read_header(path, environment)
        index, names = environment.get(layout.INDEX), environment.get(layout.NAMES)
        count = header["count"]
        if (
            index is None
            or names is None
            or count < 1
            or len(index) != count * layout.RECORD.itemsize
            or (check and layout.index_checksum(index, names) != header["crc32"])
        ):
            raise UserError(
                f"{path}: its index is damaged. Prepare or pack it again with --overwrite, or "
                "restore a copy."
            )
        self.pid = os.getpid()
        self.environment = environment
        # Where the pixels lie is known unless someone has written to the file since.
        known = header["txnid"] == environment.txnid
        self.pixels = _map(environment.data_file) if known else None
        self.crc32 = header["crc32"]
        self.info = header["info"]
        plain = np.dtype(np.uint8)
        self.index = environment.array(index, plain, (len(index),)).view(layout.RECORD)
        blob = environment.array(names, plain, (len(names),))
        self.names = PackedNames(blob, self.index["name_end"])
        self.checked = bytearray(count)  # the entries whose pixels were compared by this process

    def read_ahead(self, offset: int, size: int) -> None:
        """Have the system fetch all of an entry at once, not page by page as it is touched."""
        if offset and self.pixels is not None and hasattr(mmap, "MADV_WILLNEED"):
            start = offset - offset % mmap.PAGESIZE
            self.pixels.madvise(mmap.MADV_WILLNEED, start, offset + size - start)


def _map(file: Path) -> mmap.mmap:
    """A file as read-only memory, read page by page as it is touched."""
    with open(file, "rb") as opened:
        pages = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    if hasattr(mmap, "MADV_RANDOM"):
        pages.madvise(mmap.MADV_RANDOM)  # crops are scattered: reading ahead would be wasted
    return pages


def read_header(path: Path, environment: Environment) -> dict:
    """The header of a finished pack.

    Raises:
        UserError: not packed by superres, damaged, of a newer version, or unfinished.
    """
    value = environment.get(layout.HEADER)
    if value is None:
        raise UserError(f"{path}: an LMDB database that superres did not pack.")
    header = layout.parse_header(path, bytes(value))
    if header["state"] != "complete":
        raise UserError(
            f"{path}: an unfinished pack, its packing was interrupted. Run the same pack command "
            "again: it continues where it stopped."
        )
    return header
