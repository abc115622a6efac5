"""Small data sets in the layouts that people have, made for tests."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from superres.imaging.io import encode_image, write_image
from superres.imaging.resize import imresize, modcrop


def picture(seed: int, height: int = 24, width: int = 28, channels: int = 3) -> np.ndarray:
    """A smooth colourful picture, different for every seed: HWC uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4 + 2, width // 4 + 2, channels), dtype=np.uint8)
    return imresize(coarse, size=(height, width))


def lq_of(gt: np.ndarray, scale: int, border: str = "reflect") -> np.ndarray:
    """What a good set holds for ``gt``."""
    return imresize(modcrop(gt, scale), 1 / scale, border=border)


def official(root: Path, part: str, numbers: Iterable[int], scales=(2,), **size) -> Path:
    """``DIV2K_<part>_HR/0001.png`` and ``DIV2K_<part>_LR_bicubic/X2/0001x2.png`` below ``root``."""
    (root / f"{part}_HR").mkdir(parents=True)
    for scale in scales:
        (root / f"{part}_LR_bicubic" / f"X{scale}").mkdir(parents=True)
    digits = 6 if part == "Flickr2K" else 4
    for i in numbers:
        gt = picture(i, **size)
        write_image(root / f"{part}_HR" / f"{i:0{digits}}.png", gt)
        for scale in scales:
            folder = root / f"{part}_LR_bicubic" / f"X{scale}"
            write_image(folder / f"{i:0{digits}}x{scale}.png", lq_of(gt, scale))
    return root


def official_zips(root: Path, part: str, numbers: Iterable[int], scales=(2,), **size) -> Path:
    """The same as the zips that are downloaded, named as they are."""
    root.mkdir(parents=True, exist_ok=True)
    numbers = list(numbers)
    with zipfile.ZipFile(root / f"{part}_HR.zip", "w") as hr:
        for i in numbers:
            hr.writestr(f"{part}_HR/{i:04}.png", encode_image(picture(i, **size), ".png"))
    for scale in scales:
        with zipfile.ZipFile(root / f"{part}_LR_bicubic_X{scale}.zip", "w") as lr:
            for i in numbers:
                data = encode_image(lq_of(picture(i, **size), scale), ".png")
                lr.writestr(f"{part}_LR_bicubic/X{scale}/{i:04}x{scale}.png", data)
    return root


def paired(root: Path, count: int = 4, scales=(2, 3), border: str = "reflect", **size) -> Path:
    """``HR/p0.png`` and ``LR_bicubic/X2/p0x2.png``: EDSR's benchmark layout."""
    (root / "HR").mkdir(parents=True)
    for i in range(count):
        gt = picture(i, **size)
        write_image(root / "HR" / f"p{i}.png", gt)
        for scale in scales:
            folder = root / "LR_bicubic" / f"X{scale}"
            folder.mkdir(parents=True, exist_ok=True)
            write_image(folder / f"p{i}x{scale}.png", lq_of(gt, scale, border))
    return root


def fingerprint_of(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Every file below a folder: size, time and content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_size,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
