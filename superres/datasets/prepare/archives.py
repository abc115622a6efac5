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
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from superres.errors import UserError
from superres.files import os_fault, write_atomically

_NOT_READ = (".7z", ".rar", ".tar.zst")
_KINDS = (".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar", *_NOT_READ)
_DEEPEST = 100
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)
_ELSEWHERE = "A data set's archive holds nothing of the kind: fetch it from the original place."

Member = tuple[str, int, Callable[[], BinaryIO]]
"""A file in an archive: its path, its size, and what opens it."""


def archive_stem(name: str) -> str | None:
    """The name of an archive without its suffix; None for what is no archive."""
    suffix = next((s for s in _KINDS if name.lower().endswith(s)), None)
    return suffix and name[: -len(suffix)]


def extract(archive: Path, folder: Path) -> None:
    """Extract an archive into a folder, but for hidden files.

    Where not all its members lie in one folder, they go to one called like the archive. They get
    the archive's time, so that they count as the same ones when extracted anew. Links that are
    there already, to the same pictures in folders of the source, stay.

    Raises:
        UserError: cut off, damaged, encrypted or hostile; a full disk; another archive had another
            file of that name.
    """
    if archive.name.lower().endswith(_NOT_READ):
        raise UserError(f"{archive}: this kind of archive is not read here; extract it first.")
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as opened:
                _extract(archive, list(_zip_members(archive, opened)), folder)
        else:
            with tarfile.open(archive) as opened:
                _extract(archive, list(_tar_members(archive, opened, folder)), folder)
    except tarfile.FilterError as fault:
        raise UserError(f"{archive}: refused ({fault}). {_ELSEWHERE}") from None
    except (*_BROKEN, EOFError, NotImplementedError, ValueError, OSError) as error:
        # gzip and bz2 raise OSErrors without a number for broken data
        if getattr(error, "errno", None) is not None:
            place = archive if error.filename in (None, str(archive)) else folder
            raise UserError(os_fault(place, error, "archive", writing=place == folder)) from None
        size = archive.stat().st_size
        raise UserError(
            f"{archive}: not a whole archive ({error}; {size} bytes are there). Most likely its "
            "download was interrupted: fetch it again."
        ) from None


def _zip_members(archive: Path, opened: zipfile.ZipFile) -> Iterator[Member]:
    for info in opened.infolist():
        if info.flag_bits & 1:
            raise UserError(f"{archive}: encrypted. Extract it and give the folder.")
        plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
        path = _checked(archive, info.filename, plain)
        if not info.is_dir():
            yield path, info.file_size, partial(opened.open, info)


def _tar_members(archive: Path, opened: tarfile.TarFile, folder: Path) -> Iterator[Member]:
    end = 0
    for info in opened:
        path = _checked(archive, info.name, info.isdir() or (info.isreg() and not info.issparse()))
        tarfile.data_filter(info, str(folder))
        end = info.offset_data + info.size
        if info.isreg():
            yield path, info.size, partial(opened.extractfile, info)
    if archive.name.lower().endswith(".tar") and archive.stat().st_size - end < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end mark is missing")


def _checked(archive: Path, name: str, plain: bool) -> str:
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


def _extract(archive: Path, members: list[Member], folder: Path) -> None:
    members = [member for member in members if not hidden(*member[0].split("/"))]
    tops = {path.partition("/")[0] for path, *_ in members}
    if len(tops) != 1 or any("/" not in path for path, *_ in members):
        folder /= archive_stem(archive.name)
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(size for _, size, _ in members), shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{archive}: refused, it takes {needed >> 20} MiB, and {folder.parent} has "
            f"{free >> 20} MiB free. Make room, or give another --out"
        )
    time = archive.stat().st_mtime_ns
    for path, _, opening in members:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            continue
        with opening() as stream:
            if not target.exists():
                write_atomically(target, partial(shutil.copyfileobj, stream))
                os.utime(target, ns=(time, time))
            elif stream.read() != target.read_bytes():
                raise UserError(
                    f"{archive}: another archive has another {path!r}. Extract them into folders "
                    "of different names, and give the folder that holds these"
                )


def hidden(*parts: str) -> bool:
    """Whether any part of a path is hidden, or a copy that macOS leaves."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
