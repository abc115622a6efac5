"""Copies of packs on a node's own disk: made once per node, checked, used again.

Crops are read all over a pack. A network file system serves that badly, a local disk well, and a
pack is one large file, which every file system copies well.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from superres.errors import UserError
from superres.files import Lock
from superres.output import printable

from .storage import ImageLmdb, PictureStore
from .storage.environment import DATA_FILE, open_environment
from .storage.lmdb import read_header

FOLDER = "superres-staged"
_MARK = "verified.json"  # written last, so a copy without it is unfinished
_CHUNK = 16 << 20


def _to_stderr(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


def stage(
    store: PictureStore, target: str | os.PathLike, say: Callable[[str], None] = _to_stderr
) -> ImageLmdb:
    """The store's copy below ``target``; made by this process unless it is there already.

    Of the processes of a node the first one copies, the others wait. If it is killed meanwhile,
    the next one begins anew. The copy is read back from the disk and compared by checksum before
    anybody uses it. Its folder is named after the content, so another version of the pack gets
    another copy.

    Args:
        store: a pack.
        target: a folder on a local disk; ``$TMPDIR`` and the like are expanded.
        say: told when a copy begins.

    Raises:
        UserError: no pack, a variable that is not set, an unwritable place, too little room, a
            copy that differs.
    """
    if not isinstance(store, ImageLmdb):
        raise UserError(
            f"stage_to copies packs, and {store.path} is none: pack it with superres data pack, "
            "or remove stage_to"
        )
    folder = _expand(target) / FOLDER
    source = store.path / DATA_FILE
    size = source.stat().st_size
    # The checksum is that of the index, which has the checksums of all pictures.
    name = f"{store.path.parent.name}-{store.path.stem}-{_index_checksum(store.path):08x}-{size:x}"
    copy = folder / (re.sub(r"[^\w.-]", "_", name)[-150:] + ".lmdb")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Lock(copy.with_suffix(".lock"), wait=True):
            if not _is_whole(copy, size):
                say(f"copying {store.path} ({size / 2**30:.2f} GiB) to {folder}")
                _copy(source, copy, size)
    except OSError as error:
        raise UserError(f"stage_to: {folder} cannot be written ({error.strerror})") from None
    staged = ImageLmdb(copy)
    if _index_checksum(copy) != _index_checksum(store.path):
        raise UserError(f"{copy}: not the pack {store.path}; delete it and start again")
    return staged


def _index_checksum(path: Path) -> int:
    return read_header(path, open_environment(path))["crc32"]


def _expand(target: str | os.PathLike) -> Path:
    text = os.path.expanduser(os.path.expandvars(os.fspath(target)))
    missing = re.search(r"\$\{?(\w+)", text)
    if missing or not text:
        variable = missing[1] if missing else os.fspath(target)
        raise UserError(
            f"stage_to = {os.fspath(target)!r}: {variable} is not set on this node. Give the "
            "folder of its local disk, such as /scratch"
        )
    return Path(text).absolute()


def _is_whole(copy: Path, size: int) -> bool:
    try:
        mark = json.loads((copy / _MARK).read_text(encoding="ascii"))
        return mark["size"] == size == (copy / DATA_FILE).stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _copy(source: Path, copy: Path, size: int) -> None:
    """Copy, read back, compare; a copy that is not whole is removed."""
    shutil.rmtree(copy, ignore_errors=True)
    free = shutil.disk_usage(copy.parent).free
    if free < size:
        raise UserError(_no_room(copy.parent, size, free))
    copy.mkdir()
    done = False
    try:
        expected = 0
        with open(source, "rb") as pages, open(copy / DATA_FILE, "wb") as made:
            while chunk := pages.read(_CHUNK):
                expected = zlib.crc32(chunk, expected)
                made.write(chunk)
            made.flush()
            os.fsync(made.fileno())
        found = _checksum(copy / DATA_FILE)
        if found != expected:
            raise UserError(
                f"{copy}: what was read back differs from what was written (checksum "
                f"{found:08x} instead of {expected:08x}). The disk of this node is broken"
            )
        mark = {"size": size, "crc32": found, "source": str(source)}
        (copy / _MARK).write_text(json.dumps(mark), encoding="ascii")
        done = True
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(copy.parent).free
        raise UserError(_no_room(copy.parent, size, free)) from None
    finally:
        if not done:
            shutil.rmtree(copy, ignore_errors=True)


def _checksum(file: Path) -> int:
    """CRC-32 of a file as the disk has it, not as the system remembers it."""
    checksum = 0
    with open(file, "rb") as pages:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(pages.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := pages.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _no_room(folder: Path, size: int, free: int) -> str:
    return (
        f"stage_to: {folder} has {free / 2**30:.2f} GiB free, and the pack takes "
        f"{size / 2**30:.2f} GiB. Choose another folder, or remove stage_to"
    )
