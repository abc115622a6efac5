"""Packed pictures: decoded pixels in LMDB, read in place.

Version 1 of the format is an LMDB environment (a folder with ``data.mdb``) whose main database has:

=================  =============================================================================
8 bytes, big       the raw pixels of one picture: H x W x C samples, RGB order, little-endian.
endian             Keys are numbers, so that names may have any length and alphabet.
``index``          one :data:`RECORD` per picture, sorted by the UTF-8 bytes of the names
``names``          all names, UTF-8, one after the other, in the same order
``header``         JSON: format, version, state, count, crc32 of index + names, info
=================  =============================================================================

Older packs have a sub-database ``sources``, and in ``offset`` the places of the pixels in the file,
which nothing reads any more.
"""

from __future__ import annotations

import itertools
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from superres.datasets.storage.base import PictureStore
from superres.datasets.storage.environment import Environment, damaged, open_environment
from superres.errors import UserError
from superres.imaging.io import with_channels

VERSION = 1
HEADER, INDEX, NAMES = b"header", b"index", b"names"
COMPLETE = "complete"

#: One picture: its key, where its name ends in the names, its shape, sample type and checksum.
RECORD = np.dtype(
    [
        ("key", "<u8"),
        ("name_end", "<u8"),
        ("offset", "<u8"),
        ("height", "<u4"),
        ("width", "<u4"),
        ("channels", "u1"),
        ("code", "u1"),
        ("reserved", "<u2"),
        ("crc32", "<u4"),
    ]
)

#: The sample types by their code in a record.
SAMPLE_TYPES = (np.dtype("u1"), np.dtype("<u2"))

# Looking an entry up, LMDB touches all its pages; so each process looks it up once. A view that
# is kept costs some 300 bytes.
_KEPT = 1 << 16


def entry_key(number: int) -> bytes:
    """The database key of entry ``number``."""
    return number.to_bytes(8, "big")


def make_header(state: str, count: int = 0, crc32: int = 0, info: dict | None = None) -> bytes:
    """The header's JSON; ``state`` is ``packing`` or :data:`COMPLETE`."""
    header = {
        "format": "superres-lmdb",
        "version": VERSION,
        "state": state,
        "count": count,
        "crc32": crc32,
        "txnid": 0,  # read by older versions
        "info": info or {},
    }
    return json.dumps(header).encode()


def index_checksum(index: Any, names: Any) -> int:
    """CRC-32 of the index's bytes followed by the names' bytes."""
    return zlib.crc32(names, zlib.crc32(index))


class ImageLmdb(PictureStore):
    """A database written by :func:`superres.datasets.pack.pack_images`.

    ``read`` returns a read-only view on the memory map: nothing is copied, and after the first
    look at a picture, which compares its checksum, a crop touches only the pages that it needs.
    The pages belong to the system's file cache, shared by all processes, so a worker's own memory
    does not grow with the dataset.

    Args:
        path: the database folder.

    Raises:
        UserError: missing, truncated, not packed by superres, a newer format, an unfinished
            pack, or a damaged index; says what to do.

    Attributes:
        info: what the packer noted (``scale``, ``source``, ``kind``, ...).
        as_channels: 1 or 3 where pictures are to be read as luma or RGB, whatever was packed.
    """

    _environment: Environment

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.as_channels: int | None = None
        self._environment = open_environment(self.path)
        header = self._header()
        self.info = header["info"]
        index, names = (bytes(self._environment.get(key) or b"") for key in (INDEX, NAMES))
        if not index or index_checksum(index, names) != header["crc32"]:
            raise damaged(self.path, "its index is damaged")
        self._entries = np.frombuffer(index, RECORD)
        ends = self._entries["name_end"].tolist()
        parts = itertools.pairwise((0, *ends))
        self._names = [names[a:b].decode("utf-8", "surrogateescape") for a, b in parts]

    def _header(self) -> dict[str, Any]:
        value = self._environment.get(HEADER)
        if value is None:
            raise UserError(f"{self.path}: an LMDB database that superres did not pack.")
        try:
            header = json.loads(bytes(value))
            version, state, _, _ = (header[key] for key in ("version", "state", "crc32", "info"))
        except (ValueError, KeyError, TypeError):
            raise damaged(self.path, "its header is damaged") from None
        if version != VERSION:
            raise UserError(
                f"{self.path}: packed in version {version} of the format; this superres reads "
                f"version {VERSION}. Update superres, or pack it again."
            )
        if state != COMPLETE:
            raise UserError(
                f"{self.path}: an unfinished pack, its packing was interrupted. Run the same pack "
                "command again."
            )
        return header

    def shape_at(self, i: int) -> tuple[int, int, int]:
        height, width, channels = self._entries[i].item()[3:6]
        return height, width, self.as_channels or channels

    def stored_channels(self, i: int) -> int:
        return int(self._entries[i]["channels"])

    def dtype_at(self, i: int) -> np.dtype:
        """The sample type of picture ``i``: uint8 or uint16."""
        return SAMPLE_TYPES[self._entries[i]["code"]]

    def checksum_at(self, i: int) -> int:
        """The CRC-32 that was stored with the pixels of picture ``i``."""
        return int(self._entries[i]["crc32"])

    def read_at(self, i: int) -> np.ndarray:
        """Picture ``i`` as a read-only view on the memory map.

        Raises:
            UserError: the pixels are not those that were packed, compared at a process's first
                look at them.
        """
        number, _, _, height, width, channels, code, _, crc32 = self._entries[i].item()
        key, views = entry_key(number), self._environment.views
        image = views.get(key)
        if image is None:
            value = self._environment.get(key)
            if value is None or zlib.crc32(value) != crc32:
                what = f"the pixels of {self._names[i]!r} do not match their checksum"
                raise damaged(self.path, what)
            if len(views) >= _KEPT:
                views.clear()
            pixels = np.frombuffer(value, SAMPLE_TYPES[code])
            image = views[key] = pixels.reshape(height, width, channels)
        if self.as_channels in (None, channels):
            return image
        return _Converted(image, self.as_channels)  # type: ignore[return-value]


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
