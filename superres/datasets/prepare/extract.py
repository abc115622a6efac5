"""Compressed tar files, which cannot be read from the middle, go to a temporary folder first."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import tarfile
import zlib
from pathlib import Path

from superres.datasets.prepare.archives import (
    BOMB_MEMBER,
    BOMB_TOTAL,
    check_member,
    check_ratio,
    is_picture,
    modified,
    plain_member,
)
from superres.datasets.prepare.entries import Entry, FileEntry
from superres.errors import UserError
from superres.files import os_fault, write_atomically

_DONE = ".complete"


def extracted_entries(archive: Path, prefix: str, scratch: Path) -> list[Entry]:
    """Extract the pictures of a compressed tar below ``scratch``.

    What an interrupted run has extracted is kept; a complete extraction is used as it is. Files
    get the members' times, so that a later extraction counts as the same pictures.

    Raises:
        UserError: cut off, damaged or hostile; a full disk.
    """
    status = archive.stat()
    key = f"{archive.resolve()} {status.st_size} {status.st_mtime_ns}"
    folder = scratch / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _DONE).exists():
        try:
            _extract(archive, folder, status.st_size)
            (folder / _DONE).write_text("")
        except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise UserError(_broken(archive, error)) from None
        except OSError as error:
            if error.errno is None:  # gzip and bz2 raise it for broken data
                raise UserError(_broken(archive, error)) from None
            raise UserError(os_fault(folder, error, "folder", writing=True)) from None
    found: list[Entry] = []
    for base, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            below = (Path(base) / name).relative_to(folder).as_posix()
            if is_picture(below):
                shown = f"{archive}, member {below}"
                found.append(FileEntry(f"{prefix}/{below}", folder / below, shown))
    return found


def _extract(archive: Path, folder: Path, stored: int) -> None:
    total = 0
    with tarfile.open(archive, "r|*") as opened:
        for member in opened:
            check_member(archive, member.name, link=not plain_member(member))
            total += member.size
            check_ratio(archive, "what it holds", total, stored, BOMB_TOTAL)
            if not (member.isreg() and is_picture(member.name)):
                continue
            check_ratio(archive, f"its member {member.name!r}", member.size, stored, BOMB_MEMBER)
            target = folder / member.name
            if target.exists() and target.stat().st_size == member.size:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            stream = opened.extractfile(member)
            write_atomically(target, lambda file, s=stream: shutil.copyfileobj(s, file, 1 << 20))
            if target.stat().st_size != member.size:
                target.unlink()
                raise EOFError(f"it ends inside {member.name}")
            os.utime(target, (modified(member), modified(member)))


def _broken(archive: Path, error: Exception) -> str:
    return (
        f"{archive}: not a whole compressed tar file ({error}; {archive.stat().st_size} bytes are "
        "there). Most likely its download was interrupted: fetch it again."
    )
