"""What the data benchmark compares: its pictures, and how others make a batch of crops."""

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

SUB_IMAGE, STEP = 480, 240  # HR pixels, as BasicSR and MMEditing cut DIV2K
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


def write_both(root: Path, name: str, s: int, picture: np.ndarray) -> None:
    """A picture at 1/``s`` of the full size: as a file, and as sub-images in an LMDB."""
    (root / f"png_X{s}").mkdir(exist_ok=True)
    (root / f"png_X{s}" / f"{name}.png").write_bytes(encode(picture))
    size, step = SUB_IMAGE // s, STEP // s
    with lmdb.open(str(root / f"sub_X{s}"), map_size=1 << 32) as env, env.begin(write=True) as txn:
        for top in corners(picture.shape[0], size, step):
            for left in corners(picture.shape[1], size, step):
                sub = picture[top : top + size, left : left + size]
                txn.put(f"{name}/{top}/{left}".encode(), encode(sub))


def augment(patch: np.ndarray, view: int) -> torch.Tensor:
    """Flips and rotation of one crop, colour order, tensor: as the other toolboxes do it."""
    if view & 1:
        patch = cv2.flip(patch, 1)
    if view & 2:
        patch = cv2.flip(patch, 0)
    if view & 4:
        patch = patch.transpose(1, 0, 2)
    return torch.from_numpy(cv2.cvtColor(np.ascontiguousarray(patch), cv2.COLOR_BGR2RGB))


class PngFiles:
    """Batches of crops from PNG files of whole images.

    Args:
        root, patch, scale: where :func:`write_both` wrote; LR patch; scale.
    """

    def __init__(self, root: Path, patch: int, scale: int) -> None:
        self.root, self.patch, self.scale = root, patch, scale

    def __call__(self, draws: list[Draw]) -> tuple[torch.Tensor, ...]:
        """(lq, gt) of these draws: decode, crop, augment, stack."""
        batches = []
        for s in (self.scale, 1):
            factor = self.scale // s
            patch, tensors = self.patch * factor, []
            for name, top, left, view in draws:
                image = cv2.imread(str(self.root / f"png_X{s}" / f"{name}.png"))
                y, x = top * factor, left * factor
                tensors.append(augment(image[y : y + patch, x : x + patch], view))
            batches.append(torch.stack(tensors))
        return tuple(batches)


class SubImages(PngFiles):
    """Batches of crops from PNG sub-images in LMDBs.

    Args:
        shape: of the LR images.
    """

    def __init__(self, root: Path, patch: int, scale: int, shape: tuple[int, ...]) -> None:
        super().__init__(root, patch, scale)
        self.shape = shape
        self.opened = {
            s: lmdb.open(str(root / f"sub_X{s}"), readonly=True, lock=False, readahead=False)
            for s in (scale, 1)
        }

    def place(self, draws: list[Draw]) -> list[tuple[str, int, int, Draw]]:
        """For each draw a sub-image that holds its crop: the image's name, its corner in LR
        pixels, and the draw with the crop's corner counted from there."""
        size, step = SUB_IMAGE // self.scale, STEP // self.scale
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
        for s, environment in self.opened.items():
            factor = self.scale // s
            patch, tensors = self.patch * factor, []
            with environment.begin(buffers=True) as transaction:
                for name, y, x, (_, top, left, view) in placed:
                    value = transaction.get(f"{name}/{y * factor}/{x * factor}".encode())
                    image = cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR)
                    top, left = top * factor, left * factor
                    tensors.append(augment(image[top : top + patch, left : left + patch], view))
            batches.append(torch.stack(tensors))
        return tuple(batches)

    def __call__(self, draws: list[Draw]) -> tuple[torch.Tensor, ...]:
        """(lq, gt) of these draws."""
        return self.batch(self.place(draws))
