"""Writing a packed database so that it is either complete or plainly unfinished.

Images are committed one by one to ``<target>.partial``; the finished database gets its index, is
flushed to disk and only then moved to ``<target>``. What a killed process left is begun again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from superres.datasets.storage.base import encode_name
from superres.datasets.storage.lmdb import (
    DATA_FILE,
    HEADER,
    INDEX,
    NAMES,
    RECORD,
    SAMPLE_TYPES,
    entry_key,
    index_checksum,
    make_header,
)
from superres.errors import UserError
from superres.files import os_fault, sync

PARTIAL_SUFFIX = ".partial"
UNFINISHED = "its packing was interrupted; run the same prepare or pack command again"

_FIRST_MAP_SIZE = 64 << 20
_SCARCE = 64 << 20  # bytes: with less than that the disk is called full


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
            self._move(data)
        return len(records)

    def _move(self, data: Path) -> None:
        sync(data)
        sync(self.partial)
        if (self.target / DATA_FILE).exists():
            os.replace(data, self.target / DATA_FILE)
            sync(self.target)
        else:
            os.rename(self.partial, self.target)
        sync(self.target.parent)

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


def make_folder(path: Path) -> None:
    """Make a folder and those above it; a :class:`UserError` where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(os_fault(path, error, "folder", writing=True)) from None


def check_apart(target: str | os.PathLike, source: str | os.PathLike) -> None:
    """Refuse a target that is, or lies inside, its source; symbolic links are followed.

    Raises:
        UserError: names both.
    """
    target, source = Path(os.path.abspath(target)), Path(source)
    # What is written beside the target (its lock, its partial) lies in its parent, so a target
    # that is itself a link counts at both places.
    places = target.resolve(), target.parent.resolve() / target.name
    if any(place.is_relative_to(source.resolve()) for place in places):
        text = f"{target}: inside the source {source}, which is never written"
        raise UserError(f"{text}. Choose a target elsewhere, for example beside it.")


def check_set_name(name: str) -> None:
    """Refuse a set's name that would lead out of the folder that the set belongs into.

    Raises:
        UserError: ``.``, ``..``, an empty name, or one with a separator.
    """
    if name in ("", ".", "..") or any(c in name for c in "/\\\0"):
        text = f"--name {name!r}: the name of one folder is needed, without '/', '\\' and '..'"
        raise UserError(f"{text}; --out says where it goes")
