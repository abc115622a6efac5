"""Small data sets in the layouts that people have, made for tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from superres.imaging.io import write_image
from superres.imaging.resize import imresize, modcrop


def picture(seed: int, height: int = 24, width: int = 28, channels: int = 3) -> np.ndarray:
    """A smooth colourful image, different for every seed: HWC uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4 + 2, width // 4 + 2, channels), dtype=np.uint8)
    return imresize(coarse, size=(height, width))


def lq_of(gt: np.ndarray, scale: int, border: str = "reflect") -> np.ndarray:
    """What a good set holds for ``gt``."""
    return imresize(modcrop(gt, scale), 1 / scale, border=border)


def put(path: Path, image: np.ndarray) -> Path:
    """Write an image, in folders that are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)
    return path


def official(root: Path, part: str, numbers: Iterable[int], scales=(2,), **size) -> Path:
    """``DIV2K_<part>_HR/0001.png`` and ``DIV2K_<part>_LR_bicubic/X2/0001x2.png`` below ``root``."""
    for i in numbers:
        gt, name = picture(i, **size), f"{i:0{6 if part == 'Flickr2K' else 4}}"
        put(root / f"{part}_HR" / f"{name}.png", gt)
        for scale in scales:
            folder = root / f"{part}_LR_bicubic" / f"X{scale}"
            put(folder / f"{name}x{scale}.png", lq_of(gt, scale))
    return root


def official_zips(root: Path, part: str, numbers: Iterable[int], scales=(2,), **size) -> Path:
    """The same as the zips that are downloaded, named as they are."""
    made = official(root / "made", part, numbers, scales, **size)
    shutil.make_archive(str(root / f"{part}_HR"), "zip", made, f"{part}_HR")
    for scale in scales:
        folder = f"{part}_LR_bicubic"
        shutil.make_archive(str(root / f"{folder}_X{scale}"), "zip", made, f"{folder}/X{scale}")
    shutil.rmtree(made)
    return root


def paired(root: Path, count: int = 4, scales=(2, 3), border: str = "reflect", **size) -> Path:
    """``HR/p0.png`` and ``LR_bicubic/X2/p0x2.png``: EDSR's benchmark layout."""
    for i in range(count):
        gt = picture(i, **size)
        put(root / "HR" / f"p{i}.png", gt)
        for scale in scales:
            low = lq_of(gt, scale, border)
            put(root / "LR_bicubic" / f"X{scale}" / f"p{i}x{scale}.png", low)
    return root


def fingerprint_of(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Time and content of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
