"""Packed pictures: decoded pixels in LMDB, read in place."""

from __future__ import annotations

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
from superres.imaging.io import with_channels

# Looking an entry up, LMDB touches all its pages; so each process looks it up once. A view that
# is kept costs some 300 bytes.
_KEPT = 1 << 16


class ImageLmdb(PictureStore):
    """A database written by :func:`superres.datasets.pack.pack_images`.

    ``read`` returns a read-only view on the memory map: nothing is copied, and after the first
    look at a picture a crop touches only the pages that it needs. The pages belong to the
    system's file cache, shared by all processes, so a worker's own memory does not grow with the
    dataset. The index is not read into Python objects either.

    Args:
        path: the database folder.

    Raises:
        UserError: missing, truncated, not packed by superres, a newer format, an unfinished
            pack, or a damaged index; says what to do.

    Attributes:
        info: what the packer noted (``scale``, ``source``, ``kind``, ...).
        as_channels: 1 or 3 where pictures are to be read as luma or RGB, whatever was packed.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.as_channels: int | None = None
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
        height, width, channels = self._record(i)[3:6]
        return height, width, self.as_channels or channels

    def stored_channels(self, i: int) -> int:
        return self._record(i)[5]

    def dtype_at(self, i: int) -> np.dtype:
        """The sample type of picture ``i``: uint8 or uint16."""
        return layout.SAMPLE_TYPES[self._record(i)[6]]

    def read_at(self, i: int) -> np.ndarray:
        """Picture ``i`` as a read-only view on the memory map.

        Raises:
            UserError: the entry is missing or has the wrong length: the file is damaged.
        """
        return self._converted(self._stored(i))

    def _converted(self, image: np.ndarray) -> np.ndarray:
        same = self.as_channels in (None, image.shape[2])
        return image if same else _Converted(image, self.as_channels)  # type: ignore[return-value]

    def _stored(self, i: int) -> np.ndarray:
        i = self._check_number(i)
        opened = self._open()
        image = opened.images.get(i)
        if image is None:
            if len(opened.images) >= _KEPT:
                opened.images.clear()
            image = opened.images[i] = self._look_up(i, opened.environment)
        return image

    def _look_up(self, i: int, environment: Environment) -> np.ndarray:
        key, _, _, height, width, channels, code, _, _ = self._record(i)
        dtype = layout.SAMPLE_TYPES[code]
        value = environment.get(layout.entry_key(key))
        if value is None or len(value) != height * width * channels * dtype.itemsize:
            raise UserError(
                f"{self.path}: the entry {self.name_at(i)!r} is damaged. Prepare or pack it "
                "again with --overwrite, or restore a copy."
            )
        return environment.array(value, dtype, (height, width, channels))

    def checksum_at(self, i: int) -> int:
        """The CRC-32 that was stored with the pixels of picture ``i``."""
        return self._record(i)[8]

    def verify_entry(self, i: int) -> bool:
        """Whether the pixels of picture ``i`` have the checksum that was stored with them."""
        return zlib.crc32(self._stored(i)) == self.checksum_at(i)

    def read_verified_at(self, i: int) -> np.ndarray:
        if not self.verify_entry(i):
            raise UserError(
                f"{self.path}: the pixels of {self.name_at(i)!r} do not match their checksum. "
                "Prepare or pack it again with --overwrite, or restore a copy."
            )
        return self.read_at(i)

    def read_checked_at(self, i: int) -> np.ndarray:
        i = self._check_number(i)
        checked = self._open().checked
        if checked[i]:
            return self.read_at(i)
        image = self.read_verified_at(i)
        checked[i] = 1
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
        self.crc32 = header["crc32"]
        self.info = header["info"]
        plain = np.dtype(np.uint8)
        self.index = environment.array(index, plain, (len(index),)).view(layout.RECORD)
        blob = environment.array(names, plain, (len(names),))
        self.names = PackedNames(blob, self.index["name_end"])
        self.images: dict[int, np.ndarray] = {}
        self.checked = bytearray(count)  # the entries whose pixels were compared by this process


class _Converted:
    """A picture with other channels, converted where it is looked at and only there."""

    ndim = 3

    def __init__(self, image: np.ndarray, count: int) -> None:
        self.image, self.count = image, count
        self.shape, self.dtype = (*image.shape[:2], count), image.dtype

    def __getitem__(self, key: tuple[slice, slice]) -> _Converted:
        return _Converted(self.image[key], self.count)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        whole = with_channels(self.image, self.count)
        return whole if dtype is None else whole.astype(dtype)


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
            "again."
        )
    return header
