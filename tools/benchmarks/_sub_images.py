"""What the data benchmark compares with: batches of crops from PNG sub-images in LMDBs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import lmdb
import numpy as np
import torch

from superres.imaging.io import read_image
from superres.imaging.photographs import photograph
from superres.imaging.resize import imresize

SIDE, STEP = 480, 240  # HR pixels, as BasicSR and MMEditing cut DIV2K
_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")


class Draw(NamedTuple):
    """One sample: the picture, the corner of the crop in LR pixels, the view as its bits."""

    name: str
    top: int
    left: int
    view: int

    @classmethod
    def of(cls, meta: dict[str, Any]) -> Draw:
        """What our pipeline drew."""
        return cls(*(meta[field] for field in cls._fields))


def photographs(count: int, height: int, width: int) -> Iterator[np.ndarray]:
    """Images (height, width, 3) uint8 that cost a PNG decoder what photographs do.

    scikit-image's photographs, enlarged, with some grain, for enlarging leaves none: without it a
    PNG is half the size of DIV2K's.
    """
    rng = np.random.default_rng(0)
    for i in range(count):
        photo = read_image(photograph("skimage", f"data/{_PHOTOS[i % len(_PHOTOS)]}"))
        photo = photo[:, :: -1 if i // len(_PHOTOS) % 2 else 1]
        factor = max(height / photo.shape[0], width / photo.shape[1])
        base = imresize(np.ascontiguousarray(photo), factor)[:height, :width]
        grain = rng.normal(0, 2.5, (height, width, 3)).astype(np.float32)
        yield np.clip(base + grain + 0.5, 0, 255).astype(np.uint8)


def encode(picture: np.ndarray) -> bytes:
    """As PNG."""
    pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def corners(length: int, size: int, step: int) -> list[int]:
    """Where sub-images begin: every ``step``, and one that ends at the border."""
    starts = list(range(0, length - size + 1, step))
    return starts if starts[-1] + size == length else [*starts, length - size]


def augment(patch: np.ndarray, view: int) -> torch.Tensor:
    """Flips and rotation of one crop, colour order, tensor: as the other toolboxes do it."""
    if view & 1:
        patch = cv2.flip(patch, 1)
    if view & 2:
        patch = cv2.flip(patch, 0)
    if view & 4:
        patch = patch.transpose(1, 0, 2)
    return torch.from_numpy(cv2.cvtColor(np.ascontiguousarray(patch), cv2.COLOR_BGR2RGB))


class SubImages:
    """Batches of crops, HR and LR each from an LMDB of PNG files.

    Args:
        root: folder to write the LMDBs in.
        patch, scale: LR patch; scale.
    """

    def __init__(self, root: Path, patch: int, scale: int) -> None:
        self.patch, self.scale = patch, scale
        self.shape = (0, 0)  # of LR
        self.stores = {s: lmdb.open(str(root / f"sub_X{s}"), 1 << 32) for s in (scale, 1)}

    def add(self, name: str, picture: np.ndarray) -> None:
        """Cut a picture, and what it is reduced to, into sub-images."""
        for s, store in self.stores.items():
            image = picture if s == 1 else imresize(picture, 1 / s)
            self.shape = image.shape[:2] if s != 1 else self.shape
            size, step = SIDE // s, STEP // s
            with store.begin(write=True) as transaction:
                for top in corners(image.shape[0], size, step):
                    for left in corners(image.shape[1], size, step):
                        sub = encode(image[top : top + size, left : left + size])
                        transaction.put(f"{name}/{top}/{left}".encode(), sub)

    def place(self, draws: list[Draw]) -> list[tuple[str, int, int, Draw]]:
        """For each draw a sub-image that holds its crop: the image's name, its corner in LR
        pixels, and the draw with the crop's corner counted from there."""
        size, step = SIDE // self.scale, STEP // self.scale
        placed = []
        for d in draws:
            # The last that begins before the crop holds it: crops are at most half as large.
            y = max(c for c in corners(self.shape[0], size, step) if c <= d.top)
            x = max(c for c in corners(self.shape[1], size, step) if c <= d.left)
            placed.append((d.name, y, x, d._replace(top=d.top - y, left=d.left - x)))
        return placed

    def batch(self, placed: list[tuple[str, int, int, Draw]]) -> tuple[torch.Tensor, ...]:
        """(lq, gt): decode, crop, augment, stack."""
        batches = []
        for s, store in self.stores.items():
            factor = self.scale // s
            patch, tensors = self.patch * factor, []
            with store.begin(buffers=True) as transaction:
                for name, y, x, (_, top, left, view) in placed:
                    value = transaction.get(f"{name}/{y * factor}/{x * factor}".encode())
                    image = cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR)
                    top, left = top * factor, left * factor
                    tensors.append(augment(image[top : top + patch, left : left + patch], view))
            batches.append(torch.stack(tensors))
        return tuple(batches)
