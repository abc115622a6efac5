"""Read-only LMDB environments: one per database and process, checked before anything is mapped.

py-lmdb refuses to open a database twice in one process, LMDB forbids using an environment that
was opened before a fork, and reading beyond the end of a truncated file kills the process
(SIGBUS). This module keeps all three away from the stores.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from superres.errors import UserError

DATA_FILE = "data.mdb"


class Environment:
    """An open environment with one long-lived read transaction: a fixed snapshot.

    It stays mapped for as long as this object or any array made by :meth:`array` lives.
    """

    def __init__(self, path: Path) -> None:
        import lmdb

        self.path = path
        self.pid = os.getpid()
        self._error = lmdb.Error
        subdir = path.is_dir()
        self.data_file = data = path / DATA_FILE if subdir else path
        try:
            self._env = lmdb.open(
                str(path),
                subdir=subdir,
                readonly=True,
                create=False,
                lock=False,
                readahead=True,  # a first look is at the whole picture
            )
        except lmdb.InvalidError:
            raise UserError(f"{data}: not an LMDB database, or a damaged one.") from None
        except lmdb.Error as error:
            if "already open" in str(error):
                raise
            raise UserError(f"{data}: cannot be opened ({error}).") from None
        needed = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        size = data.stat().st_size
        if size < needed:
            self._env.close()
            raise UserError(
                f"{data}: truncated, {size} of {needed} bytes are there. Copy it again, or pack "
                "it again."
            )
        self._as_opened = _identity(data)
        self._txn = self._env.begin(buffers=True)

    def get(self, key: bytes) -> memoryview | None:
        """The value of a key, zero-copy: valid only while this object lives. None if absent.

        Raises:
            UserError: LMDB finds its own pages damaged.
        """
        try:
            return self._txn.get(key)
        except self._error as error:
            raise UserError(
                f"{self.path}: the database is damaged ({error}). Prepare or pack it again "
                "with --overwrite, or restore a copy."
            ) from None

    def keys(self) -> Iterator[bytes]:
        """All keys of the main database, sorted; no value is touched."""
        with self._txn.cursor() as cursor:
            yield from map(bytes, cursor.iternext(values=False))

    def changed(self) -> str:
        """What a message says of a data file that is not the one that was opened; else empty."""
        if _identity(self.data_file) == self._as_opened:
            return ""
        return f"{self.data_file}: was changed, replaced or removed while it was in use"

    def array(self, value: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """A read-only array on a value, without a copy; keeps the environment mapped.

        ``dtype`` is a plain (not structured) type; ``shape`` must fit the value's length.
        """
        address = np.frombuffer(value, np.uint8).__array_interface__["data"][0]
        return np.asarray(_Mapped(self, address, dtype.str, shape))


class _Mapped:
    """The base object of an array on the memory map; ties the map's life to the array's."""

    __slots__ = ("__array_interface__", "environment")

    def __init__(self, environment: Environment, address: int, typestr: str, shape) -> None:
        self.environment = environment
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": typestr,
            "data": (address, True),
        }


def _identity(file: Path) -> tuple[int, ...] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


_OPEN: weakref.WeakValueDictionary[tuple[int, int], Environment] = weakref.WeakValueDictionary()


def open_environment(path: Path) -> Environment:
    """This process's environment for a database; opened on the first call.

    The key is the data file's device and inode, so that a link leads to the same environment and
    a database that was replaced on disk to a new one.

    Raises:
        UserError: missing, unreadable, not an LMDB, truncated; names the file.
    """
    import lmdb

    data = path / DATA_FILE if path.is_dir() else path
    try:
        with open(data, "rb") as file:
            status = os.fstat(file.fileno())
    except FileNotFoundError:
        raise UserError(f"{path}: no LMDB database here ({DATA_FILE} is missing).") from None
    except OSError as error:
        raise UserError(f"{data}: cannot be read ({error.strerror}).") from None
    key = (status.st_dev, status.st_ino)
    found = _OPEN.get(key)
    if found is not None and found.pid == os.getpid():
        return found
    try:
        opened = Environment(path)
    except lmdb.Error:
        # Something in this forked process still holds what the parent opened (a picture that was
        # read before the fork), so py-lmdb will not open a second one. The inherited map is read
        # only and without locks: it stays correct here, it is only not ours to choose.
        if found is None:
            raise UserError(
                f"{data}: already opened elsewhere in this process; close it there first."
            ) from None
        return found
    _OPEN[key] = opened
    return opened
