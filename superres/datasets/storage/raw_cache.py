"""A raw cache: images that are decoded once, then read from one file by all processes.

The file begins with an :data:`_ENTRY` for each image, and one that says whether nothing more is
to be written; room for the pixels of each image follows. Rooms that are not filled take no space
on the disk. An image counts while its file has the size and time, and its pixels the checksum, of
its entry; so it does not matter which process writes what, or is killed meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import math
import mmap
import os
import shutil
import weakref
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from superres.datasets.storage.base import ImageStore
from superres.errors import UserError
from superres.files import os_fault
from superres.inference.memory import available

_ENTRY = np.dtype([("size", "<u8"), ("time", "<u8"), ("crc32", "<u4"), ("bytes", "<u4")])
_HEADROOM = 0.9  # of the free memory: the rest is for the network, or for other processes
logger = logging.getLogger("superres")


class RawCache(ImageStore):
    """The images of another store, through a file of their pixels.

    Args:
        store: its images are read at their first use, and again once their files change.
        key: distinguishes its file from others.

    Attributes:
        bytes: that all images take, decoded.
        count: of the images that are kept, the first ones.
        file: of the pixels; empty where there is none.
    """

    def __init__(self, store: ImageStore, key: str) -> None:
        self.path, self._names, numbers = store.path, store.names(), range(len(store))
        self.key, self._store, self.count, self.file = key, store, 0, ""
        self._files = [file and os.fspath(file) for file in map(store.file_at, numbers)]
        self._shapes = [store.shape_at(i) for i in numbers]
        sizes = [int(np.prod(s)) * store.dtype_at(i).itemsize for i, s in enumerate(self._shapes)]
        head = -(-(len(store) + 1) * _ENTRY.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
        self._ends = np.cumsum([head, *sizes]).tolist()
        self.bytes = self._ends[-1]
        self._views: dict[int, tuple[Any, np.ndarray]] = {}

    def open(self, file: str, room: float = math.inf) -> None:
        """Use a file, new or not, for the images that ``room`` bytes hold.

        Raises:
            OSError: it cannot be written.
        """
        self.count = max(0, int(np.searchsorted(self._ends, room, "right")) - 1)
        fd = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        if (size := os.fstat(fd).st_size) < self._ends[self.count]:  # never shrinks: it is mapped
            os.pwrite(fd, b"" if size else bytes(self._ends[0]), 0)
            os.ftruncate(fd, self._ends[self.count])
        self._attach(file, fd)
        self._mark_full(0)

    def _attach(self, file: str, fd: int) -> None:
        self.file, self._fd, self._views = file, fd, {}
        weakref.finalize(self, os.close, fd)
        self._map = mmap.mmap(fd, self._ends[self.count], access=mmap.ACCESS_READ)
        self._table = np.frombuffer(self._map, _ENTRY, len(self._shapes) + 1)

    def __getstate__(self) -> dict[str, Any]:
        without = ("_fd", "_map", "_table", "_views")
        return {k: v for k, v in self.__dict__.items() if k not in without}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        try:
            self._attach(self.file, os.open(self.file, os.O_RDWR))
        except OSError:  # removed meanwhile
            self.file = ""

    def file_at(self, i: int) -> Path | None:
        return self._store.file_at(i)

    def shape_at(self, i: int) -> tuple[int, int, int]:
        return self._shapes[i]

    def changed(self) -> str:
        return self._store.changed()

    def version_at(self, i: int) -> tuple[int, int] | None:
        """The size and time of the file of image ``i``; zeros where it has none of its own."""
        if not (file := self._files[i]):
            return 0, 0
        with contextlib.suppress(OSError):  # whoever reads it says why
            status = os.stat(file)
            return status.st_size, status.st_mtime_ns
        return None

    def read_at(self, i: int) -> np.ndarray:
        version = self.version_at(i)
        if version is None or i >= self.count or not self.file:
            return self._store.read_at(i)
        kept = self._views.get(i)
        if kept is None or kept[0] != version:
            kept = version, self._cached(i, version)
            if kept[1] is None:
                image = np.ascontiguousarray(self._store.read_at(i))
                self._write(i, version, image)
                return image
            self._views[i] = kept
        return kept[1]

    def _cached(self, i: int, version: tuple[int, int]) -> np.ndarray | None:
        *stored, crc32, itemsize = self._table[i].item()
        if not itemsize or tuple(stored) != version:
            return None
        pixels = np.ndarray(self._shapes[i], f"<u{itemsize}", self._map, self._ends[i])
        return pixels if zlib.crc32(pixels) == crc32 else None

    def _write(self, i: int, version: tuple[int, int], image: np.ndarray) -> None:
        if self._table[-1]["bytes"] or image.shape != self._shapes[i]:
            return
        entry = np.array((*version, zlib.crc32(image), image.itemsize), _ENTRY).tobytes()
        try:
            if os.pwrite(self._fd, image, self._ends[i]) < image.nbytes:
                raise OSError("the disk is full")
            os.pwrite(self._fd, entry, i * _ENTRY.itemsize)
        except OSError as error:
            self._mark_full(1)
            fault = os_fault(self.file, error, "file", writing=True)
            logger.warning("%s The images that it lacks are decoded for every sample", fault)

    def _mark_full(self, value: int) -> None:
        entry = np.array((0, 0, 0, value), _ENTRY).tobytes()
        os.pwrite(self._fd, entry, len(self._shapes) * _ENTRY.itemsize)


_CACHES: weakref.WeakValueDictionary[str, RawCache] = weakref.WeakValueDictionary()
"""Of this process, by their keys: the scales of a training share their ground truths."""


def _cache_of(store: ImageStore, where: str) -> RawCache:
    """The cache of a store, not open yet where it is a new one."""
    what = [where, os.path.abspath(store.path), vars(store).get("channels"), list(store.names())]
    what += [(store.shape_at(i), store.dtype_at(i)) for i in range(len(store))]
    key = where + hashlib.sha256(repr(what).encode("utf-8", "backslashreplace")).hexdigest()[:32]
    cache = _CACHES.get(key) or RawCache(store, key)
    return _CACHES.setdefault(key, cache)


def on_disk(store: ImageStore, most: float) -> tuple[RawCache, str]:
    """Keep the decoded images of a store on the disk, as far as there is room.

    They lie in ``superres-USER`` in ``$TMPDIR``, else in /var/tmp. The caches of other sets make
    room, those that were not used for longest first.

    Args:
        most: GiB that all caches there may take; besides, half of what is free.

    Returns:
        The cache, and what is said of it.

    Raises:
        UserError: it cannot be written.
    """
    cache = _cache_of(store, "disk")
    try:
        folder = Path(os.environ.get("TMPDIR") or "/var/tmp", f"superres-{os.getuid()}")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise PermissionError(errno.EACCES, "the folder is somebody else's", str(folder))
        file = folder / f"{store.path.name}-{cache.key}"
        found = {f: f.stat() for f in folder.iterdir()}
        taken = 512 * sum(status.st_blocks for status in found.values())
        limit = int(min(most * 2**30, taken + shutil.disk_usage(folder).free // 2))
        found.pop(file, None)
        for other in sorted(found, key=lambda f: found[f].st_mtime):
            used = sum(status.st_size for status in found.values())
            if used + cache.bytes > limit and other.name[-len(cache.key) :] not in _CACHES:
                other.unlink()
                del found[other]
        if not cache.file:
            cache.open(str(file), limit - sum(status.st_size for status in found.values()))
        os.utime(file)
    except AttributeError:
        raise UserError("this system is not POSIX") from None
    except OSError as error:
        raise UserError(os_fault(folder, error, "folder", writing=True)) from None
    part = "" if cache.count == len(store) else f"{cache.count} of {len(store)} images "
    size = f"{cache.bytes / 2**30:.2f} GiB; caches there may take {limit / 2**30:.1f}"
    return cache, f"{part}kept decoded in {folder} ({size})"


def in_memory(store: ImageStore, key: str) -> RawCache:
    """Keep the decoded images of a store in memory, which workers share.

    Args:
        key: of the config, for messages.

    Raises:
        UserError: what is kept so does not fit; not Linux.
    """
    cache = _cache_of(store, "memory")
    if cache.file:
        return cache
    needed = sum(c.bytes for k, c in _CACHES.items() if k.startswith("memory")) / 2**30
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if needed * processes > (most := _HEADROOM * available("cpu") / 2**30):
        text = f"{key}: the training set takes {needed:.2f} GiB in each of {processes} processes"
        raise UserError(f"{text}, of {most:.2f} GiB that may be used. Set cache=None or 'disk'")
    if not hasattr(os, "memfd_create"):
        raise UserError(f"{key} = 'cpu' needs Linux; 'disk' keeps decoded images, too")
    fd = os.memfd_create("superres-images")
    weakref.finalize(cache, os.close, fd)
    cache.open(f"/proc/{os.getpid()}/fd/{fd}")
    return cache
