"""Read-only LMDB environments, checked before anything of them is read.

py-lmdb refuses to open a database twice in one process, and pictures are arrays on its memory map.
So a process opens each database once and never closes it. Without locks and for reading only, what
was opened before a fork stays right in the worker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb

from superres.errors import UserError
from superres.files import os_fault

DATA_FILE = "data.mdb"

_CHANGED = "was changed, replaced or removed while it was in use"

Identity = tuple[int, int, int, int]
"""Device, inode, size and time of a file's last change."""


class Environment:
    """An open database. Pickled, as for a spawned worker, it opens the same file again.

    Attributes:
        views: what a store keeps of the entries that it has looked up, by their keys.
    """

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path, self.data_file, self._as_opened = path, path / DATA_FILE, identity
        self.views: dict[bytes, Any] = {}
        try:
            # With read-ahead, which is the default: a first look is at the whole picture.
            self._env = lmdb.open(str(path), readonly=True, create=False, lock=False)
        except lmdb.InvalidError:
            raise UserError(f"{self.data_file}: not an LMDB database, or a damaged one.") from None
        except lmdb.Error as error:
            raise UserError(f"{self.data_file}: cannot be opened ({error}).") from None
        # Reading beyond the end of the file would kill the process (SIGBUS).
        needed = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        if identity[2] < needed:
            self._env.close()
            raise UserError(
                f"{self.data_file}: truncated, {identity[2]} of {needed} bytes are there. Copy it "
                "again, or pack it again."
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return open_environment, (self.path, self._as_opened)

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
        try:
            same = _identity(self.data_file) == self._as_opened
        except OSError:
            same = False
        return "" if same else f"{self.data_file}: {_CHANGED}"


_OPEN: dict[tuple[int, int], Environment] = {}
"""By device and inode: a link leads to the same one, a database that replaced another to a new."""


def open_environment(path: Path, as_opened: Identity | None = None) -> Environment:
    """This process's environment for the database in a folder; opened on the first call.

    Args:
        as_opened: what the file was where it was opened first.

    Raises:
        UserError: missing, unreadable, not an LMDB, truncated, changed meanwhile; names the file.
    """
    data = path / DATA_FILE
    try:
        identity = _identity(data)
        open(data, "rb").close()
    except OSError as error:
        raise UserError(os_fault(data, error, "LMDB database")) from None
    found = _OPEN.get(identity[:2])
    before = as_opened or identity, found._as_opened if found else identity
    if before != (identity, identity):
        raise UserError(f"{data}: {_CHANGED}. Start again.")
    if found is None:
        found = _OPEN[identity[:2]] = Environment(path, identity)
    return found


def _identity(file: Path) -> Identity:
    status = os.stat(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def damaged(path: Path, what: str) -> UserError:
    """The message of a damaged pack."""
    return UserError(
        f"{path}: {what}. Prepare or pack it again with --overwrite, or restore a copy."
    )
