"""Files on disk: which are images, whole writes, locks, and faults in a person's words."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from superres.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no flock; there nothing is locked.
    fcntl = None

PathLike = str | os.PathLike


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry of a folder is one, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def leads_back(folder: PathLike) -> bool:
    """Whether a folder is a link to one that it lies in: who enters it finds himself again."""
    here = Path(os.path.realpath(os.path.dirname(folder) or "."))
    return here.is_relative_to(os.path.realpath(folder))


def unreadable(path: PathLike) -> str:
    """Why a path cannot be read as a file, without opening it; empty where it can be tried."""
    try:
        status = os.stat(path)
    except OSError as error:
        return os_fault(path, error, "image")
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        return ""
    return f"{os.fspath(path)}: a pipe, a socket or a device, not an image file."


def write_atomically(
    path: Path,
    write: Callable[[BinaryIO], object],
    durable: bool = False,
    check: Callable[[Path], object] | None = None,
) -> None:
    """Call ``write(file)`` on a temporary file beside ``path``, then rename it to ``path``.

    A pipe or a device, such as /dev/stdout, is written to as it is: it must not be replaced.
    What a process that was killed left of the same file is removed.

    Args:
        durable: the file and its name are on the disk, not only in the system's memory, when
            this returns.
        check: called with the finished temporary file; if it raises, ``path`` stays as it was.

    Raises:
        UserError: missing or read-only folder, full disk, ...; the temporary file is removed.
    """
    try:
        if durable and (is_special(path) or os.path.isdir(path)):
            raise UserError(f"{path} is not a regular file; choose another path")
        if is_special(path):
            with open(path, "wb") as file:
                write(file)
            return
        with replacing(path) as (temporary, descriptor):
            with open(descriptor, "wb", closefd=False) as file:
                write(file)
            if durable:
                os.fsync(descriptor)
            if check is not None:
                check(temporary)
        if durable:
            sync(path.parent)
    except OSError as error:
        raise UserError(os_fault(path, error, "file", writing=True)) from None


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step, in UTF-8; raises as :func:`write_atomically`.

    What stands for bytes that are no text, as names of files may hold, is written as an escape.
    """
    data = text.encode("utf-8", "backslashreplace")
    write_atomically(path, lambda file: file.write(data), durable=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[tuple[Path, int]]:
    """A temporary file beside ``path``, open for writing, that takes its name at the end.

    Yields:
        Its path and descriptor. Left by an exception, it is removed and ``path`` is as it was.
    """
    temporary, descriptor = _open_temporary(path)
    try:
        try:
            yield temporary, descriptor
        finally:
            if fcntl is None:  # Windows neither renames nor removes what is open
                os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        if fcntl is not None:
            os.close(descriptor)  # not before: its lock goes with it


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    if hasattr(os, "O_DIRECTORY"):  # not Windows, which opens no folder
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed writers left in a folder that no other process writes to now."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _open_temporary(path: Path) -> tuple[Path, int]:
    """A file beside ``path``, empty, open and locked for as long as it is open.

    Its name follows from that of ``path``, so that the next writer takes over what a killed one
    left: nobody holds its lock. Beside another process that writes the same file, what another
    user left, or where there are no locks, it gets another name.
    """
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    temporary = path.with_name(f".{name}.tmp")
    descriptor = -1
    try:
        if fcntl is None:
            raise OSError
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(temporary, flags, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or not os.path.samestat(status, os.lstat(temporary)):
            raise OSError
        os.ftruncate(descriptor, 0)
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(temporary, flags, 0o666)
    return temporary, descriptor


def is_special(path: Path) -> bool:
    """Whether ``path`` is a pipe, a socket or a device, which a rename would destroy."""
    # os.path, unlike pathlib, says no of a name that is too long to be; the write then tells.
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def os_fault(path: PathLike, error: Exception, what: str, writing: bool = False) -> str:
    """One message for an operating-system error on ``path``."""
    code, name = getattr(error, "errno", None), os.fspath(path)
    reason = getattr(error, "strerror", None) or error
    if writing:
        reason = "its folder does not exist" if code == errno.ENOENT else reason
        full = code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return f"{name}: cannot be written, {'the disk (or quota) is full' if full else reason}."
    if code in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) and os.path.islink(path):
        return f"{name}: a link that leads nowhere ({os.readlink(path)})."
    words = {
        errno.ENOENT: f"no such {what}",
        errno.EISDIR: "a folder, not a file",
        errno.ENOTDIR: "not a folder",
        **dict.fromkeys((errno.EACCES, errno.EPERM), f"no permission to read this {what}"),
    }
    return f"{name}: {words.get(code, f'cannot be read ({reason})')}."


_held: set[int] = set()


def _let_go() -> None:
    """In a forked child: a worker that outlives a killed process must not hold its locks."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


class Lock:
    """A lock file: one process at a time; the kernel frees it when the process dies.

    Args:
        path: the file, until the release; it says who holds the lock.
        busy: what is said where another process has it; ``{holder}`` stands for which.
        warn: called where the filesystem has no locks; then all go unprotected.

    Raises:
        UserError: another process holds it, or the file cannot be made.
    """

    def __init__(self, path: Path, busy: str, warn: Callable[[str], object]) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(os_fault(path, error, "file", writing=True)) from None
        self._path, self._descriptor = path, descriptor
        _held.add(descriptor)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
            if not (os.path.exists(path) and os.path.samestat(status, os.stat(path))):
                raise BlockingIOError  # its holder has just removed it
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            _held.discard(descriptor)
            os.close(descriptor)
            raise UserError(busy.replace("{holder}", holder or "another process")) from None
        except OSError as error:
            warn(f"{path}: its filesystem has no locks ({error.strerror}); write there alone")
        text = f"process {os.getpid()} on {socket.gethostname()} since {time.ctime()}\n"
        with contextlib.suppress(OSError):  # only a courtesy: the disk may be full
            os.ftruncate(descriptor, 0)
            os.write(descriptor, text.encode())

    def close(self) -> None:
        """Let others in; harmless when done twice."""
        if self._descriptor in _held:
            with contextlib.suppress(OSError):  # Windows removes no open file: there it stays
                self._path.unlink()
            _held.discard(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


def lock_target(target: Path, doing: str, warn: Callable[[str], object] = lambda _: None) -> Lock:
    """Keep a second process from making the same file or folder; see :class:`Lock`."""
    busy = f"Another process ({{holder}}) is {doing} {target}. Wait for its end, or stop it first."
    return Lock(target.with_name(f"{target.name}.lock"), busy, warn)
