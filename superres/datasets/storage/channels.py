"""Packed pictures read as grey or RGB, whatever was packed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from superres.datasets.storage.base import PictureStore
from superres.datasets.storage.lmdb import ImageLmdb
from superres.imaging.io import with_channels

COUNTS = {"rgb": 3, "grey": 1}


class ConvertedView:
    """A picture with other channels, converted where it is looked at and only there.

    Args:
        image: (H, W, C), mostly a view on a memory map.
        count: 1 for luma, 3 for RGB.
    """

    ndim = 3

    def __init__(self, image: np.ndarray, count: int) -> None:
        self.image, self.count = image, count
        self.shape, self.dtype = (*image.shape[:2], count), image.dtype

    def __getitem__(self, key: tuple[slice, slice]) -> ConvertedView:
        return ConvertedView(self.image[key], self.count)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        whole = with_channels(self.image, self.count)
        return whole if dtype is None else whole.astype(dtype)


class ConvertedStore(PictureStore):
    """A pack whose pictures are brought to 1 or 3 channels; see :func:`in_channels`."""

    def __init__(self, store: PictureStore, count: int) -> None:
        self.store, self.count, self.path = store, count, store.path

    def names(self) -> Sequence[str]:
        return self.store.names()

    def shape_at(self, i: int) -> tuple[int, int, int]:
        return (*self.store.shape_at(i)[:2], self.count)

    def stored_channels(self, i: int) -> int:
        return self.store.stored_channels(i)

    def read_at(self, i: int) -> np.ndarray:
        return self._converted(self.store.read_at(i))

    def read_checked_at(self, i: int) -> np.ndarray:
        return self._converted(self.store.read_checked_at(i))

    def _converted(self, image: np.ndarray) -> np.ndarray:
        same = image.shape[2] == self.count
        return image if same else ConvertedView(image, self.count)  # type: ignore[return-value]

    @property
    def dtype(self) -> np.dtype | None:
        return self.store.dtype

    def changed(self) -> str:
        return self.store.changed()

    def close(self) -> None:
        self.store.close()

    def _find(self, name: str) -> int:
        return self.store._find(name)


def in_channels(store: PictureStore, channels: str) -> PictureStore:
    """The store itself, or one that turns what was packed otherwise into ``channels``."""
    count = COUNTS.get(channels)
    if count is None or not isinstance(store, ImageLmdb) or store.channels == {count}:
        return store
    return ConvertedStore(store, count)
