"""LMDB databases, opened once per process.

A process opens each database once and never closes it: py-lmdb refuses to open one twice, and
images are arrays on its memory map. Without locks and for reading only, what was opened before a
fork stays right in the worker.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb

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
