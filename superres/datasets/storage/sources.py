"""What can be packed: a folder, a list of pictures, other stores. Sent once to each worker."""

from __future__ import annotations

import functools
import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from superres.datasets.storage.base import PictureStore
from superres.datasets.storage.folder import ImageFolder
from superres.datasets.storage.format import SAMPLE_TYPES
from superres.datasets.storage.lmdb import ImageLmdb
from superres.datasets.storage.names import PackedNames, encode_name
from superres.errors import UserError
from superres.imaging.io import Channels, ImageHeader, image_header, read_image

Loader = str | os.PathLike | Callable[[], np.ndarray]


class PackSource(ABC):
    """Named pictures in the order of their encoded names, loaded by number.

    Attributes:
        names: sorted, distinct.
        decodes: loading costs time worth sharing among processes.
    """

    names: PackedNames
    decodes = True

    @abstractmethod
    def load(self, i: int) -> np.ndarray:
        """Picture ``i``: (H, W, C); UserError for one that cannot be read."""

    @abstractmethod
    def stamp(self, i: int) -> bytes:
        """Changes when picture ``i`` changes; equal for what need not be packed again."""

    def header(self, i: int) -> ImageHeader | None:
        """Of the file that picture ``i`` is decoded from; None where nothing is to be told of it.

        Raises:
            UserError: the file cannot be read.
        """
        return None


class ListSource(PackSource):
    """(name, path or callable that returns the picture); callables must be picklable."""

    def __init__(self, items: Iterable[tuple[str, Loader]], channels: Channels, dtype: str) -> None:
        self._channels, self._dtype = channels, dtype
        entries = sorted(((encode_name(name), load) for name, load in items), key=lambda e: e[0])
        for (name, first), (other, second) in itertools.pairwise(entries):
            if name == other:
                raise UserError(
                    f"{_describe(first)} and {_describe(second)} have the same name "
                    f"{os.fsdecode(name)!r}. Rename one of them."
                )
        self.names = PackedNames.from_encoded(name for name, _ in entries)
        self._loaders = [load for _, load in entries]

    def load(self, i: int) -> np.ndarray:
        loader = self._loaders[i]
        if callable(loader):
            return loader()
        return read_image(loader, self._channels, self._dtype)

    def stamp(self, i: int) -> bytes:
        loader = self._loaders[i]
        return b"" if callable(loader) else _file_stamp(Path(loader))

    def header(self, i: int) -> ImageHeader | None:
        loader = self._loaders[i]
        return None if callable(loader) else image_header(loader)


class StoreSource(PackSource):
    """The pictures of one or more stores, whose names must not clash."""

    def __init__(self, stores: Sequence[PictureStore]) -> None:
        self._stores = list(stores)
        self.decodes = not all(isinstance(store, ImageLmdb) for store in stores)
        entries = sorted(
            (encode_name(store.name_at(i)), s, i)
            for s, store in enumerate(self._stores)
            for i in range(len(store))
        )
        for (name, first, _), (other, second, _) in itertools.pairwise(entries):
            if name == other:
                raise UserError(
                    f"{self._stores[first].path} and {self._stores[second].path} both have a "
                    f"picture named {os.fsdecode(name)!r}."
                )
        self.names = PackedNames.from_encoded(name for name, _, _ in entries)
        self._where = np.array([(s, i) for _, s, i in entries], np.int64).reshape(-1, 2)

    def load(self, i: int) -> np.ndarray:
        s, number = self._where[i].tolist()
        return self._stores[s].read_verified_at(number)

    def stamp(self, i: int) -> bytes:
        s, number = self._where[i].tolist()
        return _picture_stamp(self._stores[s], number)

    def header(self, i: int) -> ImageHeader | None:
        s, number = self._where[i].tolist()
        store = self._stores[s]
        return image_header(store.file_at(number)) if isinstance(store, ImageFolder) else None


class DerivedSource(PackSource):
    """Pictures made of a store's.

    Args:
        make: ``make(picture, part)``, picklable.
        what: how they are made, for stamps.
        parts: each picture gives one for each of these, by its name and the part.
    """

    def __init__(
        self,
        store: PictureStore,
        make: Callable[[np.ndarray, str], np.ndarray],
        what: str,
        parts: Sequence[str] = ("",),
    ) -> None:
        self._store, self._make, self._what = store, make, what
        entries = sorted(
            (encode_name(name + part), i, part)
            for i, name in enumerate(store.names())
            for part in parts
        )
        self.names = PackedNames.from_encoded(name for name, _, _ in entries)
        self._entries = [(i, part) for _, i, part in entries]

    def load(self, i: int) -> np.ndarray:
        number, part = self._entries[i]
        return np.ascontiguousarray(self._make(_read(self._store, number), part))

    def stamp(self, i: int) -> bytes:
        number, part = self._entries[i]
        made = f"{self._what}{part.removeprefix('_')} of "
        return made.encode() + _picture_stamp(self._store, number)


@functools.lru_cache(maxsize=1)
def _read(store: PictureStore, number: int) -> np.ndarray:
    """The parts of a picture follow one another; it is decoded once."""
    return store.read_verified_at(number)


def as_pixels(image: object) -> np.ndarray:
    """A picture as the format holds it: (H, W, C), C-contiguous, uint8 or little-endian uint16.

    Raises:
        UserError: not an array of that kind.
    """
    if not isinstance(image, np.ndarray):
        raise UserError(f"a {type(image).__name__} instead of an array.")
    image = image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or 0 in image.shape or image.shape[2] > 255:
        raise UserError(f"an array of shape {image.shape}; it must be (H, W, C).")
    dtype = image.dtype.newbyteorder("<")
    if dtype not in SAMPLE_TYPES:
        raise UserError(f"{image.dtype} samples; they must be uint8 or uint16.")
    return np.ascontiguousarray(image, dtype)


def _file_stamp(path: Path) -> bytes:
    try:
        status = os.stat(path)
    except OSError:
        return b"missing"  # loading it will say so
    return b"%d bytes, %d ns" % (status.st_size, status.st_mtime_ns)


def _picture_stamp(store: PictureStore, i: int) -> bytes:
    if isinstance(store, ImageLmdb):
        return b"crc32 %08x" % store.checksum_at(i)
    if isinstance(store, ImageFolder):
        return _file_stamp(store.file_at(i))
    return _file_stamp(store.path) + b" %d" % i


def _describe(loader: Loader) -> str:
    return getattr(loader, "__qualname__", repr(loader)) if callable(loader) else str(loader)
