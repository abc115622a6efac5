"""A lock file: one process at a time, gone with the process that holds it."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from superres.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no flock; there the caller goes unprotected.
    fcntl = None


class FileLock:
    """Takes the lock at once or raises; the kernel frees it when the process dies.

    Args:
        path: the lock file; it says who holds the lock and is removed on release.
        purpose: what the holder is doing, for the message of the process that comes second.

    Raises:
        UserError: another process holds it, or the file cannot be made.
    """

    def __init__(self, path: Path, purpose: str) -> None:
        self.path = path
        self._descriptor: int | None = None
        while self._descriptor is None:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise UserError(f"{path}: cannot be written ({error.strerror}).") from None
            try:
                self._take(descriptor, purpose)
            except BaseException:
                os.close(descriptor)
                raise

    def _take(self, descriptor: int, purpose: str) -> None:
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
                raise UserError(
                    f"Another process ({holder or 'unknown'}) is {purpose}. Wait until it has "
                    "finished, or stop it first."
                ) from None
            except OSError:
                pass  # a filesystem without locks: go on unprotected
        # The last holder removes the file before it lets go; a lock on a removed file is void.
        try:
            same = os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            same = False
        if not same:
            os.close(descriptor)
            return
        with contextlib.suppress(OSError):  # only a courtesy: the disk may be full
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Remove the file and let go; harmless when done twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self.path.unlink(missing_ok=True)
            os.close(descriptor)
