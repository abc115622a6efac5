"""What can be packed: files, what functions give, the pictures of stores, what is made of these."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from superres.datasets.storage.base import Depth, PictureStore
from superres.datasets.storage.folder import ImageFolder
from superres.datasets.storage.lmdb import ImageLmdb
from superres.imaging.io import Channels, read_image

Loader = str | os.PathLike | Callable[[], np.ndarray]


class Picture(NamedTuple):
    """A picture to be packed.

    Attributes:
        load: gives (H, W, C) uint8 or uint16; UserError where it cannot be read.
        stamp: changes when the picture changes; equal for what need not be packed again.
        origin: the file that it is decoded from, else what messages say of where it is from.
    """

    name: str
    load: Callable[[], np.ndarray]
    stamp: Callable[[], bytes]
    origin: Path | str

    def __str__(self) -> str:
        return str(self.origin)


def loaded(name: str, loader: Loader, channels: Channels, dtype: Depth) -> Picture:
    """The picture of a file, or one that a function returns."""
    if callable(loader):
        return Picture(name, loader, lambda: b"", getattr(loader, "__qualname__", repr(loader)))
    file = Path(loader)
    return Picture(
        name, partial(read_image, file, channels, dtype), partial(_file_stamp, file), file
    )


def stored(store: PictureStore) -> list[Picture]:
    """The pictures of a store."""
    files = isinstance(store, ImageFolder)
    return [
        Picture(
            name,
            partial(store.read_at, i),
            partial(_stamp, store, i),
            store.file_at(i) if files else str(store.path),
        )
        for i, name in enumerate(store.names())
    ]


def derived(
    store: PictureStore,
    make: Callable[[np.ndarray, str], np.ndarray],
    what: str,
    parts: Sequence[str] = ("",),
) -> list[Picture]:
    """Pictures made of a store's.

    Args:
        make: ``make(picture, part)``.
        what: how they are made, for stamps.
        parts: each picture gives one for each of these, by its name and the part.
    """
    read = lru_cache(maxsize=8)(store.read_at)  # for the parts of a picture, which are neighbours

    def load(i: int, part: str) -> np.ndarray:
        return make(np.asarray(read(i)), part)

    def stamp(i: int, part: str) -> bytes:
        return f"{what}{part.removeprefix('_')} of ".encode() + _stamp(store, i)

    return [
        Picture(name + part, partial(load, i, part), partial(stamp, i, part), str(store.path))
        for i, name in enumerate(store.names())
        for part in parts
    ]


def _file_stamp(path: Path) -> bytes:
    try:
        status = os.stat(path)
    except OSError:
        return b"missing"  # loading it will say so
    return b"%d bytes, %d ns" % (status.st_size, status.st_mtime_ns)


def _stamp(store: PictureStore, i: int) -> bytes:
    if isinstance(store, ImageLmdb):
        return b"crc32 %08x" % store.checksum_at(i)
    if isinstance(store, ImageFolder):
        return _file_stamp(store.file_at(i))
    return _file_stamp(store.path) + b" %d" % i
