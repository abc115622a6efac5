"""Some of a store's pictures: those of a list, or of a range of numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from superres.datasets.storage.base import PictureStore
from superres.errors import UserError

_RANGE = re.compile(r"(\d+)-(\d+)")
_SHAPE = re.compile(r"\s*\(.*$")  # behind the names of MMEditing's and BasicSR's lists


class ChosenPictures(PictureStore):
    """Some of the pictures of a store, in its order.

    Args:
        store: all of them.
        numbers: of those that are there, rising.
    """

    def __init__(self, store: PictureStore, numbers: Sequence[int]) -> None:
        self.store, self.numbers, self.path = store, list(numbers), store.path

    def __len__(self) -> int:
        return len(self.numbers)

    def names(self) -> Sequence[str]:
        return [self.store.name_at(i) for i in self.numbers]

    def name_at(self, i: int) -> str:
        return self.store.name_at(self.numbers[i])

    def shape_at(self, i: int) -> tuple[int, int, int]:
        return self.store.shape_at(self.numbers[i])

    def stored_channels(self, i: int) -> int:
        return self.store.stored_channels(self.numbers[i])

    def read_at(self, i: int) -> np.ndarray:
        return self.store.read_at(self.numbers[i])

    def read_verified_at(self, i: int) -> np.ndarray:
        return self.store.read_verified_at(self.numbers[i])

    def read_checked_at(self, i: int) -> np.ndarray:
        return self.store.read_checked_at(self.numbers[i])

    @property
    def dtype(self) -> np.dtype | None:
        return self.store.dtype

    def changed(self) -> str:
        return self.store.changed()

    def close(self) -> None:
        self.store.close()

    def _find(self, name: str) -> int:
        found = self.store._find(name)
        return self.numbers.index(found) if found in self.numbers else -1


def chosen(store: PictureStore, only: str) -> PictureStore:
    """The pictures of a store that ``only`` names.

    Args:
        only: a file with a name in each line, as MMEditing's ``ann_file`` and BasicSR's
            ``meta_info_file``; or a range such as ``'801-810'``: of the numbers that the pictures
            are called by, of their places (from 1) where these are no numbers.

    Raises:
        UserError: no such file, names that are not in the store, none that is.
    """
    bounds = _RANGE.fullmatch(only)
    names = list(store.names())
    if bounds:
        called = [int(n) for n in names] if all(n.isdecimal() for n in names) else None
        first, last = map(int, bounds.groups())
        places = enumerate(called or range(1, len(names) + 1))
        numbers = [i for i, number in places if first <= number <= last]
    else:
        try:
            lines = Path(only).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{only}: cannot be read ({error}); it lists the images of {store.path} that are "
                "used. Without only=... all of them are"
            ) from error
        wanted = [_SHAPE.sub("", line).strip() for line in lines if line.strip()]
        wanted = [str(Path(name).with_suffix("")) for name in wanted]
        missing = [name for name in wanted if name not in store]
        if missing:
            raise UserError(
                f"{only}: {len(missing)} of its {len(wanted)} images are not in {store.path}: "
                f"{', '.join(missing[:5])}"
            )
        numbers = sorted({store.index(name) for name in wanted})
    if not numbers:
        raise UserError(f"{store.path}: only = {only!r} leaves none of its {len(names)} images")
    return ChosenPictures(store, numbers)
