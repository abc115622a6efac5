"""A lock file: one process at a time, gone with the process that holds it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from superres.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no flock; there the caller goes unprotected.
    fcntl = None


NO_LOCKS = "its filesystem has no locks; see to it that nothing else writes there"

_held: set[int] = set()


def _let_go() -> None:
    """In a forked child: a worker that outlives a killed process must not hold its locks."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def take(descriptor: int, without: Callable[[str], None]) -> str | None:
    """Lock an open file and write into it who holds it; the kernel frees it when we die.

    Args:
        descriptor: open for reading and writing; to be closed by :func:`give_up`.
        without: told why where the filesystem has no locks; then all go unprotected.

    Returns:
        Who holds it already, else None.
    """
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "unknown"
        except OSError as error:
            without(error.strerror)
    _held.add(descriptor)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    text = f"process {os.getpid()} on {socket.gethostname()} since {since}\n"
    with contextlib.suppress(OSError):  # only a courtesy: the disk may be full
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
    return None


def give_up(descriptor: int) -> None:
    """Close a file that was locked by :func:`take`."""
    _held.discard(descriptor)
    os.close(descriptor)


class FileLock:
    """Takes the lock at once or raises; the kernel frees it when the process dies.

    Args:
        path: the lock file; it says who holds the lock and is removed on release.
        purpose: what the holder is doing, for the message of the process that comes second.
        warn: told where the filesystem has no locks.

    Raises:
        UserError: another process holds it, or the file cannot be made.
    """

    def __init__(
        self, path: Path, purpose: str, warn: Callable[[str], None] = lambda _: None
    ) -> None:
        self.path = path
        self._warn = warn
        self._descriptor: int | None = None
        while self._descriptor is None:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise UserError(f"{path}: cannot be written ({error.strerror}).") from None
            try:
                self._take(descriptor, purpose)
            except BaseException:
                give_up(descriptor)
                raise

    def _take(self, descriptor: int, purpose: str) -> None:
        holder = take(descriptor, lambda why: self._warn(f"{self.path}: {NO_LOCKS} ({why})"))
        if holder is not None:
            raise UserError(
                f"Another process ({holder}) is {purpose}. Wait until it has finished, or stop it "
                "first."
            )
        # The last holder removes the file before it lets go; a lock on a removed file is void.
        try:
            same = os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            same = False
        if not same:
            give_up(descriptor)
            return
        self._descriptor = descriptor

    def release(self) -> None:
        """Remove the file and let go; harmless when done twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self.path.unlink(missing_ok=True)
            give_up(descriptor)
