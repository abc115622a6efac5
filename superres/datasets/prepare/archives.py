"""What zip and tar files hold, with the hostile and the broken ones refused.

Nothing is ever extracted from a zip or a plain tar: their pictures are read where they lie. An
archive is refused as a whole when any member would lead out of a folder or is a link, and when it
promises far more bytes than it has; that costs a person one message instead of a bad morning.
"""

from __future__ import annotations

import re
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from superres.datasets.prepare.entries import Entry, TarEntry, ZipEntry
from superres.errors import UserError
from superres.files import os_fault
from superres.imaging.kinds import IMAGE_SUFFIXES

PLAIN_TAR = (".tar",)
PACKED_TAR = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ZIP = (".zip",)
NOT_READ = (".7z", ".rar", ".tar.zst")
ARCHIVE_SUFFIXES = (*PACKED_TAR, *NOT_READ, *PLAIN_TAR, *ZIP)

# Pictures are compressed already; an archive makes them smaller by a few percent. Bitmaps of one
# colour shrink more, so small ones may.
MAX_RATIO = 100
BOMB_MEMBER, BOMB_TOTAL = 8 << 20, 64 << 20
MAX_MEMBER = 4 << 30
MAX_DEPTH = 100
_LATEST = 1 << 33  # seconds since 1970: the year 2242


def archive_stem(name: str) -> str | None:
    """The name of an archive without its suffix; None for what is no archive."""
    for suffix in ARCHIVE_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return None


def is_picture(member: str) -> bool:
    """Whether a member is a picture by its suffix, and none of the copies that macOS leaves."""
    path = PurePosixPath(member)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and path.suffix.lower() in IMAGE_SUFFIXES


def check_member(archive: Path, name: str, link: bool) -> None:
    """Refuse an archive for a member that leads out of a folder, or is no plain file.

    Raises:
        UserError: names the archive and the member.
    """
    parts = name.replace("\\", "/").split("/")
    fault = ""
    if link:
        fault = "is a link, or no plain file"
    elif "\0" in name or name.startswith(("/", "\\")) or ".." in parts:
        fault = "would lead out of the folder it is extracted to"
    elif re.match(r"[A-Za-z]:", name):
        fault = "names a drive"
    elif len(parts) > MAX_DEPTH:
        name, fault = f"{name[:60]}...", f"lies more than {MAX_DEPTH} folders deep"
    if fault:
        raise UserError(
            f"{archive}: refused, its member {name!r} {fault}. A data set's archive holds nothing "
            "of the kind: fetch it from the original place."
        )


def check_ratio(archive: Path, what: str, size: int, stored: int, least: int) -> None:
    """Refuse a decompression bomb.

    Raises:
        UserError: ``size`` bytes come out of ``stored``.
    """
    if size > MAX_MEMBER * (1 if least == BOMB_MEMBER else 1 << 20) or (
        size > least and size > MAX_RATIO * max(stored, 1)
    ):
        raise UserError(
            f"{archive}: refused, {what} would grow from {stored} to {size} bytes (a decompression "
            "bomb). If you trust it, extract it yourself and give the folder."
        )


def zip_entries(archive: Path, prefix: str) -> list[Entry]:
    """The pictures in a zip file.

    Args:
        prefix: goes before the members' paths.

    Raises:
        UserError: cut off, damaged, encrypted or hostile.
    """
    found: list[Entry] = []
    total = stored = 0
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)
                plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
                check_member(archive, member.filename, link=not plain)
                total += member.file_size
                stored += member.compress_size
                if member.is_dir() or not is_picture(member.filename):
                    continue
                check_ratio(
                    archive,
                    f"its member {member.filename!r}",
                    member.file_size,
                    member.compress_size,
                    BOMB_MEMBER,
                )
                if member.flag_bits & 1:
                    raise UserError(f"{archive}: encrypted. Extract it and give the folder.")
                found.append(
                    ZipEntry(
                        # Some old programs write the other slash.
                        f"{prefix}/{member.filename}".replace("\\", "/"),
                        archive,
                        member.filename,
                        member.file_size,
                        member.CRC,
                    )
                )
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UserError(_broken(archive, "zip", error)) from None
    except OSError as error:
        raise UserError(os_fault(archive, error, "archive")) from None
    check_ratio(archive, "all of it", total, stored, BOMB_TOTAL)
    return found


def tar_entries(archive: Path, prefix: str) -> list[Entry]:
    """The pictures in an uncompressed tar file; arguments and faults as :func:`zip_entries`."""
    found: list[Entry] = []
    size = archive.stat().st_size
    try:
        with tarfile.open(archive, "r:") as opened:
            end = 0
            for member in opened:
                check_member(archive, member.name, link=not plain_member(member))
                end = member.offset_data + member.size
                if end > size:
                    raise tarfile.ReadError(f"it ends inside {member.name}")
                if member.isreg() and is_picture(member.name):
                    found.append(
                        TarEntry(
                            f"{prefix}/{member.name}",
                            archive,
                            member.name,
                            member.offset_data,
                            member.size,
                            modified(member),
                        )
                    )
        if size - end < 512:
            raise tarfile.ReadError("its end mark is missing")
    except tarfile.TarError as error:
        raise UserError(_broken(archive, "tar", error)) from None
    except OSError as error:
        raise UserError(os_fault(archive, error, "archive")) from None
    return found


def plain_member(member: tarfile.TarInfo) -> bool:
    """Whether a tar member is a file or a folder: no link, device, pipe or sparse file."""
    return (member.isreg() and not member.issparse()) or member.isdir()


def modified(member: tarfile.TarInfo) -> int:
    """When a tar member was changed, seconds since 1970; 0 where its header has no such time."""
    return int(member.mtime) if 0 <= member.mtime < _LATEST else 0


def _broken(archive: Path, kind: str, error: Exception) -> str:
    return (
        f"{archive}: not a whole {kind} file ({error}; {archive.stat().st_size} bytes are there). "
        "Most likely its download was interrupted: fetch it again."
    )
