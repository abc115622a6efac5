"""Pictures that occur twice: in one set, or in a training set and a test set (a leak)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from superres.datasets.fingerprint import rgb8
from superres.datasets.storage import PictureStore
from superres.datasets.verify.inspect import SIGNATURE, label, signature

# Two different photographs hardly ever correlate so well at 16x16, and never at 64x64.
_CANDIDATE, _SAME = 0.98, 0.985
_LARGE = 64


@dataclass
class Identity:
    """What identifies the pictures of one set.

    Attributes:
        hashes: of the pixels -> numbers of the pictures.
        signatures: (N, 16 * 16) uint8.
    """

    name: str
    store: PictureStore
    numbers: list[int] = field(default_factory=list)
    hashes: dict[str, list[int]] = field(default_factory=dict)
    signatures: list[np.ndarray] = field(default_factory=list)

    def add(self, number: int, digest: str, small: np.ndarray) -> None:
        """Take in one picture."""
        self.numbers.append(number)
        self.hashes.setdefault(digest, []).append(number)
        self.signatures.append(small)


def duplicates(identity: Identity) -> Iterator[tuple[str, str]]:
    """(file, file) with the same pixels."""
    for numbers in identity.hashes.values():
        for other in numbers[1:]:
            yield label(identity.store, numbers[0]), label(identity.store, other)


def leaks(train: Identity, test: Identity) -> Iterator[tuple[str, str, str]]:
    """(training picture, test picture, how alike) for pictures that occur in both.

    Same pixels, or the same picture saved again, resized, mirrored or turned.
    """
    same = set()
    for digest in train.hashes.keys() & test.hashes.keys():
        for a in train.hashes[digest]:
            for b in test.hashes[digest]:
                same.add((a, b))
                yield label(train.store, a), label(test.store, b), "the same pixels"
    if not train.numbers or not test.numbers:
        return
    ours = _normalised(np.stack(train.signatures))
    for b, small in zip(test.numbers, test.signatures):
        views = _normalised(np.stack([v.ravel() for v in _views(small)]))
        alike = (ours @ views.T).max(axis=1)
        for row in np.flatnonzero(alike > _CANDIDATE):
            a = train.numbers[row]
            if (a, b) in same:
                continue
            likeness = _look_alike(train.store, a, test.store, b)
            if likeness > _SAME:
                text = f"the same picture in another form (correlation {likeness:.4f})"
                yield label(train.store, a), label(test.store, b), text


def _look_alike(a: PictureStore, i: int, b: PictureStore, j: int) -> float:
    first = _normalised(signature(rgb8(a.read_at(i)), _LARGE).reshape(1, -1))
    second = signature(rgb8(b.read_at(j)), _LARGE).ravel()
    views = _normalised(np.stack([v.ravel() for v in _views(second)]))
    return float((first @ views.T).max())


def _views(small: np.ndarray) -> list[np.ndarray]:
    """The eight mirrored and turned views of a flattened square."""
    side = SIGNATURE if small.size == SIGNATURE**2 else _LARGE
    square = small.reshape(side, side)
    turned = [square, square.T]
    return [view[::v, ::h] for view in turned for v in (1, -1) for h in (1, -1)]


def _normalised(rows: np.ndarray) -> np.ndarray:
    """Zero mean and unit length per row; a picture of one colour is like nothing."""
    values = rows.astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    # Fields of a nearly uniform picture follow its noise, which says nothing.
    return np.where(length > 2.0 * rows.shape[1] ** 0.5, values / np.maximum(length, 1e-6), 0.0)
