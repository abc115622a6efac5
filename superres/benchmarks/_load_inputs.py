"""What the load runs work on: many small pictures, one huge one, packs for a loader."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from superres.imaging.encode import encode_image
from superres.imaging.resize import imresize

BAND = 250  # rows that the huge picture is made and written in


def photograph(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8: areas of one colour with hard edges, shading, noise as a camera's."""
    rows, columns = -(-height // 32), -(-width // 32)
    areas = rng.uniform(20, 220, (rows, columns, 3)).astype(np.float32)
    picture = areas.repeat(32, 0).repeat(32, 1)[:height, :width]
    picture += 20 * np.sin(np.arange(width, dtype=np.float32) / 40)[None, :, None]
    picture += rng.standard_normal((height, width, 1), np.float32) * 4
    return np.clip(picture, 0, 255).astype(np.uint8)


def small_pictures(root: Path, count: int) -> None:
    """``root/gt`` and ``root/lq``: ``count`` pairs, LR sides of 24 to 64 px, scale 2."""
    for name in ("gt", "lq"):
        (root / name).mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        height, width = (2 * rng.integers(24, 65, 2)).tolist()
        gt = photograph(rng, height, width)
        for name, picture in (("gt", gt), ("lq", imresize(gt, 0.5))):
            (root / name / f"{i:06d}.png").write_bytes(encode_image(picture, ".png"))


def huge_picture(path: Path, height: int, width: int) -> None:
    """A PNG, made and written by bands, so that this process does not hold it either."""
    from superres.upscaling.png import PngWriter

    with open(path, "wb") as file:
        writer = PngWriter(file, (height, width, 3), np.dtype(np.uint8), level=1)
        for band in bands(height, width):
            writer.write(band)
        writer.close()


def bands(height: int, width: int) -> Iterator[np.ndarray]:
    """The rows of the huge picture from top to bottom, each band from its own place's numbers."""
    for start in range(0, height, BAND):
        rng = np.random.default_rng(start)
        yield photograph(rng, min(BAND, height - start), width)


def packs(root: Path, pictures: int, side: int) -> tuple[str, str]:
    """The paths of an HR pack of pictures of ``side`` px and of its LR pack, scale 2."""
    from superres.datasets.pack import pack_images

    for name, size in (("gt", side), ("lq", side // 2)):
        loaders = ((f"{i:04d}", partial(_noise, i, size)) for i in range(pictures))
        pack_images(loaders, root / f"{name}.lmdb", num_workers=0)
    return str(root / "gt.lmdb"), str(root / "lq.lmdb")


def _noise(i: int, side: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (side, side, 3), np.uint8)
