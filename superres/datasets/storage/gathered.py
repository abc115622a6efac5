"""Stores made of other things: of files and functions, and of the images of other stores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from superres.datasets.storage.base import Depth, ImageStore, by_name
from superres.imaging.io import Channels, read_image

Loader = str | os.PathLike | Callable[[], np.ndarray]


class Loaded(ImageStore):
    """Images by name, each a file or a function that returns (H, W, C) uint8 or uint16.

    Args:
        path: what messages call the whole.
        items: name and file or function of each.
        channels, dtype: for files; see :func:`superres.imaging.io.read_image`.

    Raises:
        UserError: two of one name; both are named.
    """

    def __init__(
        self,
        path: Path,
        items: Iterable[tuple[str, Loader]],
        channels: Channels = "rgb",
        dtype: Depth = "uint8",
    ) -> None:
        self.path, self.channels, self._dtype = path, channels, dtype
        self._names, self._entries = by_name(path, items)

    def file_at(self, i: int) -> Path | None:
        loader = self._entries[i]
        return None if callable(loader) else Path(loader)

    def stamp_at(self, i: int) -> bytes:
        return super().stamp_at(i) if self.file_at(i) else b""

    def shape_at(self, i: int) -> tuple[int, int, int]:
        return self.read_at(i).shape

    def read_at(self, i: int) -> np.ndarray:
        loader = self._entries[i]
        return loader() if callable(loader) else read_image(loader, self.channels, self._dtype)


class Origin(NamedTuple):
    """An image of a store, or a part of it; in messages where that is."""

    store: ImageStore
    number: int
    part: str = ""

    def __str__(self) -> str:
        return self.store.label_at(self.number)


class Gathered(ImageStore):
    """Images of other stores, one after the other; names may repeat.

    Args:
        names, origins: of each image.
    """

    def __init__(self, names: Sequence[str], origins: Sequence[Origin]) -> None:
        self._names, self._entries = names, origins
        self.stores = list({id(origin.store): origin.store for origin in origins}.values())
        self.path = Path(" + ".join(str(store.path) for store in self.stores))

    def file_at(self, i: int) -> Path | None:
        return self._entries[i].store.file_at(self._entries[i].number)

    def label_at(self, i: int) -> str:
        return str(self._entries[i])

    def stamp_at(self, i: int) -> bytes:
        return self._entries[i].store.stamp_at(self._entries[i].number)

    def shape_at(self, i: int) -> tuple[int, int, int]:
        return self._entries[i].store.shape_at(self._entries[i].number)

    def read_at(self, i: int) -> np.ndarray:
        return self._entries[i].store.read_at(self._entries[i].number)

    def changed(self) -> str:
        return next(filter(None, (store.changed() for store in self.stores)), "")


def origins(stores: Iterable[ImageStore], parts: Sequence[str] = ("",)) -> list:
    """(name, origin) of each part of each image, whose name the part follows."""
    return [
        (name + part, Origin(store, i, part))
        for store in stores
        for i, name in enumerate(store.names())
        for part in parts
    ]


class Made(Gathered):
    """What is made of the images of a store, once for each part; called by name and part.

    Args:
        make: ``make(image, part)``.
        what: how it is made, for stamps.
    """

    def __init__(
        self,
        store: ImageStore,
        make: Callable[[np.ndarray, str], np.ndarray],
        what: str,
        parts: Sequence[str] = ("",),
    ) -> None:
        super().__init__(*by_name(store.path, origins([store], parts)))
        self._make, self._what = make, what
        # The parts of an image are neighbours.
        self._read = lru_cache(maxsize=8)(lambda number: np.asarray(store.read_at(number)))

    def file_at(self, i: int) -> None:
        return None

    def stamp_at(self, i: int) -> bytes:
        made = f"{self._what}{self._entries[i].part.removeprefix('_')} of "
        return made.encode() + super().stamp_at(i)

    def read_at(self, i: int) -> np.ndarray:
        _, number, part = self._entries[i]
        return self._make(self._read(number), part)
