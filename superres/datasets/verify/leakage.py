"""Images that occur twice: in one set, or in a training set and a test set (a leak)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from superres.datasets.fingerprint import rgb8
from superres.imaging._cv2 import import_cv2

# Two different photographs hardly ever correlate so well.
_SAME = 0.985
_SIDE = 32


def pixel_hash(image: np.ndarray) -> str:
    """Of an image's shape, sample type and pixels."""
    digest = hashlib.blake2b(repr((image.shape, image.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def signature(image: np.ndarray) -> np.ndarray:
    """(32, 32) uint8: a stored image as small grey fields, whatever its size and shape."""
    cv2 = import_cv2()
    grey = cv2.cvtColor(np.ascontiguousarray(rgb8(image)), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)


@dataclass
class Identity:
    """What identifies the images of one set.

    Attributes:
        files: what messages call each image.
        hashes: of the pixels -> numbers of the images.
    """

    files: list[str] = field(default_factory=list)
    hashes: dict[str, list[int]] = field(default_factory=dict)
    signatures: list[np.ndarray] = field(default_factory=list)

    def add(self, file: str, digest: str, small: np.ndarray) -> None:
        """Take in one image."""
        self.hashes.setdefault(digest, []).append(len(self.files))
        self.files.append(file)
        self.signatures.append(small)

    def duplicates(self) -> Iterator[tuple[str, str]]:
        """(file, file) with the same pixels."""
        for first, *others in self.hashes.values():
            yield from ((self.files[first], self.files[other]) for other in others)

    def leaks(self, test: Identity) -> Iterator[tuple[str, str, str]]:
        """(image, test image, how alike) for images that occur in both.

        Same pixels, or the same image saved again, resized, mirrored or turned.
        """
        same = set()
        for digest in self.hashes.keys() & test.hashes.keys():
            same |= {(a, b) for a in self.hashes[digest] for b in test.hashes[digest]}
        yield from ((self.files[a], test.files[b], "the same pixels") for a, b in sorted(same))
        ours = _normalised(self.signatures)
        for b, small in enumerate(test.signatures):
            views = [v[::y, ::x] for v in (small, small.T) for y in (1, -1) for x in (1, -1)]
            alike = (ours @ _normalised(views).T).max(axis=1)
            for a in np.flatnonzero(alike > _SAME).tolist():
                if (a, b) not in same:
                    text = f"the same image in another form (correlation {alike[a]:.4f})"
                    yield self.files[a], test.files[b], text


def _normalised(images: list[np.ndarray]) -> np.ndarray:
    """A row each, of zero mean and unit length; an image of one colour is like nothing."""
    rows = np.reshape(images, (len(images), _SIDE * _SIDE)).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    # Fields of a nearly uniform image follow its noise, which says nothing.
    return np.where(length > 2.0 * _SIDE, rows / np.maximum(length, 1e-6), 0.0)
