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

Images are committed one by one to ``<target>.partial``; the finished database gets its index, is
flushed to disk and only then moved to ``<target>``. What a killed process left is begun again.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from superres.datasets.lazy import converted
from superres.datasets.storage.base import ImageStore, encode_name
from superres.datasets.storage.environment import DATA_FILE, Environment, damaged, open_environment
from superres.errors import UserError
from superres.files import sync

PARTIAL_SUFFIX = ".partial"
UNFINISHED = "its packing was interrupted; run the same prepare or pack command again"

_FIRST_MAP_SIZE = 64 << 20
_SCARCE = 64 << 20  # bytes: with less than that the disk is called full

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
        header = self._environment.get(HEADER)
        if header is None:
            raise UserError(f"{self.path}: an LMDB database that superres did not pack.")
        try:
            keys = ("version", "crc32", "info")
            version, crc32, self.info = (json.loads(bytes(header))[key] for key in keys)
        except (ValueError, KeyError, TypeError):
            raise damaged(self.path, "its header is damaged") from None
        if version != VERSION:
            text = f"packed in version {version} of the format; this superres reads {VERSION}"
            raise UserError(f"{self.path}: {text}. Update superres, or pack it again.")
        index, names = (bytes(self._environment.get(key) or b"") for key in (INDEX, NAMES))
        if not index or index_checksum(index, names) != crc32:
            raise damaged(self.path, "its index is damaged")
        self._entries = np.frombuffer(index, RECORD)
        ends = self._entries["name_end"].tolist()
        parts = itertools.pairwise((0, *ends))
        self._names = [names[a:b].decode("utf-8", "surrogateescape") for a, b in parts]

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
        number, _, _, *shape, code, _, crc32 = self._entries[i].item()
        key, views = entry_key(number), self._environment.views
        image = views.get(key)
        if image is None:
            value = self._environment.get(key)
            if value is None or zlib.crc32(value) != crc32:
                what = f"the pixels of {self._names[i]!r} do not match their checksum"
                raise damaged(self.path, what)
            if len(views) >= _KEPT:
                views.clear()
            image = views[key] = np.frombuffer(value, SAMPLE_TYPES[code]).reshape(shape)
        if self.as_channels in (None, shape[2]):
            return image
        return converted(image, self.as_channels)  # type: ignore[return-value]


class PackWriter:
    """Writes one database, or replaces one. The caller holds the target's lock.

    A context manager: what is not finished at its end is removed.

    Raises:
        UserError: a place that cannot be written.
    """

    def __init__(self, target: Path) -> None:
        self.target, self.partial = target, target.with_name(target.name + PARTIAL_SUFFIX)
        self._names: list[bytes] = []
        self._records: list[tuple[int, ...]] = []

    def __enter__(self) -> PackWriter:
        shutil.rmtree(self.partial, ignore_errors=True)
        with self._faults():
            self.partial.mkdir()
            # It is flushed once, at the end.
            options = {"map_size": _FIRST_MAP_SIZE, "lock": False, "sync": False}
            self._env = lmdb.open(str(self.partial), **options)
        return self

    def __exit__(self, *_: object) -> None:
        self._env.close()
        shutil.rmtree(self.partial, ignore_errors=True)

    def add(self, name: str, pixels: np.ndarray, crc32: int) -> None:
        """Add one image, behind all others by the bytes of its name.

        Args:
            pixels: (H, W, C), C-contiguous, uint8 or little-endian uint16.
            crc32: of the pixels.

        Raises:
            UserError: the disk is full, or cannot be written.
        """
        number, code = len(self._names), SAMPLE_TYPES.index(pixels.dtype)
        self._write({entry_key(number): pixels.reshape(-1).view(np.uint8).data})
        self._names.append(encode_name(name))
        self._records.append((number, 0, 0, *pixels.shape, code, 0, crc32))

    def finish(self, info: dict[str, Any]) -> int:
        """Write the index, flush everything to disk and move the database to its target.

        Returns:
            The number of images.
        """
        records = np.array(self._records, RECORD)
        records["name_end"] = np.cumsum([len(name) for name in self._names], dtype=np.uint64)
        index, names = records.tobytes(), b"".join(self._names)
        header = make_header(len(records), index_checksum(index, names), info)
        self._write({INDEX: index, NAMES: names, HEADER: header})
        with self._faults():
            self._env.sync(True)
            size = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
            self._env.close()
            data = self.partial / DATA_FILE
            if data.stat().st_size < size:
                # LMDB leaves pages unwritten that were freed again in one transaction. At the
                # end of the file that would look like a truncation to every reader.
                os.truncate(data, size)
            sync(data)
            sync(self.partial)
            if (self.target / DATA_FILE).exists():
                os.replace(data, self.target / DATA_FILE)
                sync(self.target)
            else:
                os.rename(self.partial, self.target)
            sync(self.target.parent)
        return len(records)

    def _write(self, entries: dict[bytes, Any]) -> None:
        """Write entries in a committed transaction, enlarging the map until they fit."""
        with self._faults():
            while True:
                try:
                    with self._env.begin(write=True) as transaction:
                        for key, value in entries.items():
                            transaction.put(key, value)
                    return
                except lmdb.MapFullError:
                    # The map size is address space; the file grows as it is written.
                    self._env.set_mapsize(2 * self._env.info()["map_size"])

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Raise what the system or LMDB raises as a :class:`UserError`."""
        try:
            yield
        except (OSError, lmdb.Error) as error:
            # A write that the disk cuts short comes back from LMDB as an input/output error.
            free = shutil.disk_usage(self.target.parent).free
            reason = getattr(error, "strerror", None) or error
            if free < _SCARCE:
                reason = f"{reason}, the disk is full: {free >> 20} MiB are free"
            text = f"{self.partial}: cannot be written ({reason}). Make room or put the fault right"
            raise UserError(f"{text} and run the same command again.") from None
