"""Files on disk: which are pictures, whole writes, and faults in a person's words."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from superres.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no flock; there a killed process's file stays.
    fcntl = None

PathLike = str | os.PathLike

#: Suffixes (lower case) of the files that :func:`list_images` lists.
IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip


def list_images(folder: PathLike, recursive: bool = False) -> list[Path]:
    """The image files of a folder, by suffix, sorted by their path; hidden ones are left out.

    The order is that of the UTF-8 bytes of the path below ``folder``. Symbolic links are listed,
    also those that lead nowhere, and pipes: an image that cannot be read is not "not there", so
    reading it fails. With ``recursive``, linked folders are not entered.

    Raises:
        UserError: the folder is missing, unreadable, or not a folder.
    """
    root = Path(folder)
    found: list[Path] = []
    pending = [root]
    while pending:
        current = pending.pop()
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if recursive and entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    elif entry.name.lower().endswith(IMAGE_SUFFIXES) and not is_folder(entry):
                        found.append(Path(entry.path))
        except OSError as error:
            raise UserError(os_fault(current, error, "folder")) from None
    return sorted(found, key=lambda path: os.fsencode(path.relative_to(root).as_posix()))


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry of a folder is one, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def unreadable(path: PathLike) -> str:
    """Why a path cannot be read as a file, without opening it; empty where it can be tried."""
    try:
        status = os.stat(path)
    except OSError as error:
        return os_fault(path, error, "image")
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        return ""
    return f"{os.fspath(path)}: a pipe, a socket or a device, not an image file."


def with_rest(file: BinaryIO, head: bytes) -> bytes:
    """All bytes of a file whose first ones were read already; held once, where it can be."""
    if file.seekable():  # adding the rest to the head would hold it twice for a moment
        file.seek(0)
        return file.read()
    return head + file.read()


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call ``write(file)`` on a temporary file beside ``path``, then rename it to ``path``.

    A pipe or a device, such as /dev/stdout, is written to as it is: it must not be replaced.
    What a process that was killed left of the same file is removed.

    Raises:
        UserError: missing or read-only folder, full disk, ...; the temporary file is removed.
    """
    if is_special(path):
        try:
            with open(path, "wb") as file:
                write(file)
        except OSError as error:
            raise UserError(os_fault(path, error, "file", writing=True)) from None
        return
    try:
        temporary, descriptor = _open_temporary(path)
        try:
            with open(descriptor, "wb") as file:
                write(file)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(os_fault(path, error, "file", writing=True)) from None


def _open_temporary(path: Path) -> tuple[Path, int]:
    """A file beside ``path``, empty, open and locked for as long as it is open.

    Its name follows from that of ``path``, so that the next writer takes over what a killed one
    left: nobody holds its lock. Beside another process that writes the same file it gets another
    name.
    """
    temporary = path.with_name(f".{name_for(path)}.tmp")
    descriptor = _take(temporary)
    if descriptor is None:
        temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    return temporary, descriptor


def _take(temporary: Path) -> int | None:
    """Open and lock a file that may be there already; None if it is not to be had."""
    if fcntl is None:
        return None
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(temporary, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EACCES):
            return None  # something of that name is there, and it is none of ours
        raise
    try:
        if take_over(descriptor, temporary):
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                os.ftruncate(descriptor, 0)
                return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def name_for(path: Path) -> str:
    """What the temporary file or folder of ``path`` is called, the same each time."""
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]


def take_over(descriptor: int, path: Path) -> bool:
    """Lock what is open at ``path``, for as long as it is open, if a killed process left it.

    False where another process holds it or has just finished with it, it is another user's, or
    there are no locks here.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        return status.st_uid == os.geteuid() and os.path.samestat(status, os.lstat(path))
    except OSError:
        return False


def is_special(path: Path) -> bool:
    """Whether ``path`` is a pipe, a socket or a device, which a rename would destroy."""
    # os.path, unlike pathlib, says no of a name that is too long to be; the write then tells.
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def os_fault(path: PathLike, error: Exception, what: str, writing: bool = False) -> str:
    """One message for an operating-system error on ``path``."""
    code = getattr(error, "errno", None)
    name = os.fspath(path)
    if writing:
        if code == errno.ENOENT:
            return f"{name}: cannot be written, its folder does not exist."
        if code in (errno.ENOSPC, errno.EDQUOT):
            return f"{name}: cannot be written, the disk is full."
        reason = getattr(error, "strerror", None) or error
        return f"{name}: cannot be written ({reason})."
    if code in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) and os.path.islink(path):
        return f"{name}: a link that leads nowhere ({os.readlink(path)})."
    if code == errno.ENOENT:
        return f"{name}: no such {what}."
    if code == errno.EISDIR:
        return f"{name}: a folder, not a file."
    if code == errno.ENOTDIR:
        return f"{name}: not a folder."
    if code in (errno.EACCES, errno.EPERM):
        return f"{name}: no permission to read this {what}."
    return f"{name}: cannot be read ({getattr(error, 'strerror', None) or error})."
