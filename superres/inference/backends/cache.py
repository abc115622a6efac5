"""Converted networks on disk: whole or not there, checked when read, the oldest removed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from superres.paths import cache_dir

logger = logging.getLogger("superres")

LIMIT = 2 * 1024**3
"""Bytes that all converted networks may take; those that were not used for longest go first."""
ROOM = 512 * 1024**2
"""Bytes that stay free: a disk that is nearly full has better uses for them."""
_MANIFEST = "manifest.json"


def folder() -> Path:
    """Where the conversions are, one folder each; OSError where there is no home folder."""
    try:
        return cache_dir() / "converted"
    except RuntimeError as error:
        raise OSError(str(error)) from error


def find(key: str) -> Path | None:
    """The folder of a conversion, if it is there and as it was written; a broken one is removed."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        entry = folder() / key
        manifest = json.loads((entry / _MANIFEST).read_text(encoding="utf-8"))
        if all(_sha256(entry / name) == digest for name, digest in manifest.items()):
            with contextlib.suppress(OSError):  # of a cache that may only be read
                os.utime(entry)
            return entry
    forget(key)
    return None


def store(key: str, write: Callable[[Path], None]) -> Path:
    """Let ``write`` fill an empty folder, and keep it under ``key``.

    Where the cache cannot be written or has no room, the folder is a temporary one for this
    process.

    Returns:
        The folder.

    Raises:
        OSError: there is no room for the temporary one either.
    """
    try:
        place = folder()
        place.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(place).free < ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
        work = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=place))
        try:
            write(work)
            manifest = {p.name: _sha256(p) for p in sorted(work.iterdir())}
            (work / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
            os.chmod(work, 0o755)
            try:
                os.rename(work, place / key)
            except OSError:
                if find(key) is None:  # else another process's, which is as good
                    os.rename(work, place / key)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        _trim(keep=place / key)
        return place / key
    except OSError as error:
        logger.info("converted networks are not kept (%s)", error)
    holder = tempfile.TemporaryDirectory(prefix="superres-")
    _held.append(holder)
    write(Path(holder.name))
    return Path(holder.name)


def forget(key: str) -> None:
    """Remove a conversion, or whatever has its place."""
    with contextlib.suppress(OSError):
        entry = folder() / key
        shutil.rmtree(entry, ignore_errors=True)
        entry.unlink(missing_ok=True)  # where it is no folder


_held: list[tempfile.TemporaryDirectory] = []


def _trim(keep: Path) -> None:
    sizes = {}
    for entry in folder().iterdir():
        try:
            size = sum(p.stat().st_size for p in entry.iterdir())
            sizes[entry] = (entry.stat().st_mtime, size)
        except OSError:
            continue
    total = sum(size for _, size in sizes.values())
    for entry in sorted(sizes, key=lambda e: sizes[e][0]):
        if total <= LIMIT:
            return
        if entry != keep:
            shutil.rmtree(entry, ignore_errors=True)
            total -= sizes[entry][1]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
