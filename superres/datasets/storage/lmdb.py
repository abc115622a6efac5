"""Packed images: decoded pixels in LMDB, read in place.

Version 1 of the format is an LMDB environment (a folder with ``data.mdb``) whose main database has:

=================  =============================================================================
8 bytes, big       the raw pixels of one image: H x W x C samples, RGB order, little-endian.
endian             Keys are numbers, so that names may have any length and alphabet.
``index``          one :data:`RECORD` per image, sorted by the UTF-8 bytes of the names
``names``          all names, UTF-8, one after the other, in the same order
``header``         JSON: format, version, count, crc32 of index + names, info
=================  =============================================================================

Older packs have a sub-database ``sources``, and in ``offset`` the places of the pixels in the file,
which nothing reads any more.

A process opens each database once and never closes it: py-lmdb refuses to open one twice, and
images are arrays on its memory map. Without locks and for reading only, what was opened before a
fork stays right in the worker.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from superres.datasets.lazy import converted
from superres.datasets.storage.base import ImageStore
from superres.errors import UserError
from superres.files import os_fault

DATA_FILE = "data.mdb"

Identity = tuple[int, int, int, int]
"""Device, inode, size and time of a file's last change."""


class Environment:
    """An open database. Pickled, as for a spawned worker, it is opened again.

    Attributes:
        views: what a store keeps of the entries that it has looked up, by their keys.
    """

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path, self.data_file, self._as_opened = path, path / DATA_FILE, identity
        self.views: dict[bytes, Any] = {}
        try:
            # With read-ahead, which is the default: a first look is at the whole image.
            self._env = lmdb.open(str(path), readonly=True, create=False, lock=False)
        except lmdb.Error as error:
            what = "not an LMDB database, or a damaged one"
            raise UserError(f"{self.data_file}: {what} ({error}).") from None
        # Reading beyond the end of the file would kill the process (SIGBUS).
        needed = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        if identity[2] < needed:
            self._env.close()
            text = f"truncated, {identity[2]} of {needed} bytes are there"
            raise UserError(f"{self.data_file}: {text}. Copy it again, or pack it again.")

    def __reduce__(self) -> tuple[Any, ...]:
        return open_environment, (self.path,)

    def get(self, key: bytes) -> memoryview | None:
        """The value of a key, on the memory map; None if absent.

        Raises:
            UserError: LMDB finds its own pages damaged.
        """
        try:
            with self._env.begin(buffers=True) as transaction:
                return transaction.get(key)
        except lmdb.Error as error:
            raise damaged(self.path, f"the database is damaged ({error})") from None

    def keys(self) -> Iterator[bytes]:
        """All keys of the main database, sorted; no value is touched."""
        with self._env.begin() as transaction, transaction.cursor() as cursor:
            yield from cursor.iternext(values=False)

    def changed(self) -> str:
        """What a message says of a data file that is not the one that was opened; else empty."""
        with contextlib.suppress(OSError):
            if _identity(self.data_file) == self._as_opened:
                return ""
        return f"{self.data_file}: was changed, replaced or removed while it was in use"


_OPEN: dict[tuple[int, int], Environment] = {}
"""By device and inode: a link leads to the same one, a database that replaced another to a new."""


def open_environment(path: Path) -> Environment:
    """This process's environment for the database in a folder; opened on the first call.

    Raises:
        UserError: missing, unreadable, not an LMDB, truncated; names the file.
    """
    try:
        identity = _identity(path / DATA_FILE)
    except OSError as error:
        raise UserError(os_fault(path / DATA_FILE, error, "LMDB database")) from None
    if identity[:2] not in _OPEN:
        _OPEN[identity[:2]] = Environment(path, identity)
    return _OPEN[identity[:2]]


def _identity(file: Path) -> Identity:
    status = os.stat(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def damaged(path: Path, what: str) -> UserError:
    """The message of a damaged pack."""
    return UserError(f"{path}: {what}. Pack it again with --overwrite, or restore a copy.")


VERSION = 1
HEADER, INDEX, NAMES = b"header", b"index", b"names"

#: One image: its key, where its name ends in the names, its shape, sample type and checksum.
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


def make_header(count: int, crc32: int, info: dict[str, Any]) -> bytes:
    """The header's JSON."""
    header = {"format": "superres-lmdb", "version": VERSION, "count": count, "crc32": crc32}
    # What older versions read.
    return json.dumps({**header, "state": "complete", "txnid": 0, "info": info}).encode()


def index_checksum(index: Any, names: Any) -> int:
    """CRC-32 of the index's bytes followed by the names' bytes."""
    return zlib.crc32(names, zlib.crc32(index))


class ImageLmdb(ImageStore):
    """A database written by :func:`superres.datasets.pack.pack_images`.

    ``read`` returns a read-only view on the memory map: nothing is copied, and after the first
    look at an image, which compares its checksum, a crop touches only the pages that it needs.
    The pages belong to the system's file cache, shared by all processes, so a worker's own memory
    does not grow with the dataset.

    Args:
        path: the database folder.

    Raises:
        UserError: missing, truncated, not packed by superres, a newer format, an unfinished
            pack, or a damaged index; says what to do.

    Attributes:
        info: what the packer noted (``scale``, ``source``, ``kind``, ...).
        as_channels: 1 or 3 where images are to be read as luma or RGB, whatever was packed.
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
            version, _, _ = (header[key] for key in ("version", "crc32", "info"))
        except (ValueError, KeyError, TypeError):
            raise damaged(self.path, "its header is damaged") from None
        if version != VERSION:
            text = f"packed in version {version} of the format; this superres reads {VERSION}"
            raise UserError(f"{self.path}: {text}. Update superres, or pack it again.")
        return header

    def shape_at(self, i: int) -> tuple[int, int, int]:
        height, width, channels = self._entries[i].item()[3:6]
        return height, width, self.as_channels or channels

    def dtype_at(self, i: int) -> np.dtype:
        """The sample type of image ``i``: uint8 or uint16."""
        return SAMPLE_TYPES[self._entries[i]["code"]]

    def checksum_at(self, i: int) -> int:
        """The CRC-32 that was stored with the pixels of image ``i``."""
        return int(self._entries[i]["crc32"])

    def stamp_at(self, i: int) -> bytes:
        return b"crc32 %08x" % self.checksum_at(i)

    def read_at(self, i: int) -> np.ndarray:
        """Image ``i`` as a read-only view on the memory map.

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
        return converted(image, self.as_channels)  # type: ignore[return-value]
