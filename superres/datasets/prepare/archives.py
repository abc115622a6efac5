"""Archives of pictures, extracted before they are looked at: zip by zipfile, tar by tarfile.

An archive is refused as a whole when any member would lead out of the folder or is a link, and
when it holds more than the disk does.
"""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from superres.errors import UserError
from superres.files import os_fault, write_atomically

_READ = (".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar")
_DEEPEST = 100
NOT_READ = (".7z", ".rar", ".tar.zst")


class _Member(NamedTuple):
    path: str
    size: int
    open: Callable[[], BinaryIO]


def archive_stem(name: str) -> str | None:
    """The name of an archive without its suffix; None for what is no archive."""
    suffix = next((s for s in _READ + NOT_READ if name.lower().endswith(s)), None)
    return suffix and name[: -len(suffix)]


def extract(archive: Path, folder: Path) -> None:
    """Extract an archive into a folder, but for hidden files.

    They get the archive's time, so that they count as the same ones when extracted anew.

    Raises:
        UserError: cut off, damaged, encrypted or hostile; a full disk.
    """
    if archive.name.lower().endswith(NOT_READ):
        raise UserError(f"{archive}: this kind of archive is not read here; extract it first.")
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as opened:
                _extract(archive, _zip_members(opened), folder)
        else:
            with tarfile.open(archive) as opened:
                _extract(archive, _tar_members(archive, opened, folder), folder)
    except tarfile.FilterError as fault:
        raise UserError(f"{archive}: refused ({fault}). {_ELSEWHERE}") from None
    except OSError as error:
        if error.errno is not None:  # gzip and bz2 raise it without a number for broken data
            place = archive if error.filename in (None, str(archive)) else folder
            raise UserError(os_fault(place, error, "archive", writing=place == folder)) from None
        raise UserError(_broken(archive, error)) from None
    except _BROKEN as error:
        raise UserError(_broken(archive, error)) from None


_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, ValueError),
)
_ELSEWHERE = "A data set's archive holds nothing of the kind: fetch it from the original place."


def _broken(archive: Path, error: Exception) -> str:
    return (
        f"{archive}: not a whole archive ({error}; {archive.stat().st_size} bytes are there). Most "
        "likely its download was interrupted: fetch it again."
    )


def _zip_members(opened: zipfile.ZipFile) -> list[_Member]:
    members = []
    for info in opened.infolist():
        if info.flag_bits & 1:
            raise UserError(f"{opened.filename}: encrypted. Extract it and give the folder.")
        kind = stat.S_IFMT(info.external_attr >> 16)
        plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
        path = _checked(opened.filename, info.filename, plain)
        if not info.is_dir():
            members.append(_Member(path, info.file_size, partial(opened.open, info)))
    return members


def _tar_members(archive: Path, opened: tarfile.TarFile, folder: Path) -> list[_Member]:
    members, end = [], 0
    for info in opened:
        plain = (info.isreg() and not info.issparse()) or info.isdir()
        path = _checked(archive, info.name, plain)
        tarfile.data_filter(info, str(folder))
        end = info.offset_data + info.size
        if info.isreg():
            members.append(_Member(path, info.size, partial(opened.extractfile, info)))
    if archive.name.lower().endswith(".tar") and archive.stat().st_size - end < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end mark is missing")
    return members


def _checked(archive: Path | str, name: str, plain: bool) -> str:
    """A member's path below the folder that it is extracted to; hostile ones are refused."""
    path = name.replace("\\", "/")  # some old programs write the other slash
    parts = path.split("/")
    fault = ""
    if not plain:
        fault = "is a link, or no plain file"
    elif path.startswith("/") or ".." in parts or ":" in path[:2] or "\0" in path:
        fault = "would lead out of the folder it is extracted to"
    elif len(parts) > _DEEPEST:
        name, fault = f"{name[:60]}...", f"lies more than {_DEEPEST} folders deep"
    if fault:
        raise UserError(f"{archive}: refused, its member {name!r} {fault}. {_ELSEWHERE}")
    return path


def _extract(archive: Path, members: list[_Member], folder: Path) -> None:
    wanted = [member for member in members if not _is_hidden(member.path)]
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(m.size for m in wanted), shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{archive}: refused, it takes {needed >> 20} MiB, and {folder.parent} has "
            f"{free >> 20} MiB free. Make room, or give another --out"
        )
    time = archive.stat().st_mtime_ns
    for member in wanted:
        target = folder / member.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as stream:
            write_atomically(target, partial(shutil.copyfileobj, stream))
        os.utime(target, ns=(time, time))
        if target.stat().st_size != member.size:
            raise EOFError(f"it ends inside {member.path}")


def _is_hidden(path: str) -> bool:
    """Also the copies that macOS leaves."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))
