"""Small paired sets for the tests of datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from superres.datasets.pack import pack_images
from tests.datasets.trees import lq_of, put

SIZES = ((96, 120), (80, 100), (120, 88), (100, 100), (84, 132))  # of gt, multiples of 4


def pictures(count: int = 5, sizes: tuple = SIZES, seed: int = 0) -> list[np.ndarray]:
    """Random images (H, W, 3) uint8: no two places look alike."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*sizes[i % len(sizes)], 3), dtype=np.uint8) for i in range(count)]


@pytest.fixture
def make_folders(tmp_path: Path) -> Callable[..., Path]:
    """``make_folders(images, scale)``: a set of PNG files below tmp_path / name, as EDSR has it."""

    def make(images=None, scale: int = 4, name: str = "folders", lq: bool = True) -> Path:
        root = tmp_path / name
        for i, gt in enumerate(pictures() if images is None else images):
            put(root / "HR" / f"{i:03d}.png", gt)
            if lq:
                put(root / "LR_bicubic" / f"X{scale}" / f"{i:03d}.png", lq_of(gt, scale))
        return root

    return make


@pytest.fixture
def make_packs(make_folders: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """``make_packs(images, scale)``: the same as packs."""

    def make(images=None, scale: int = 4, name: str = "packs", lq: bool = True) -> Path:
        source, target = make_folders(images, scale, f"{name}-files", lq), tmp_path / name
        pack_images(source / "HR", target / "HR.lmdb", num_workers=0)
        if lq:
            low = source / "LR_bicubic" / f"X{scale}"
            pack_images(low, target / f"LR_bicubic_X{scale}.lmdb", num_workers=0)
        return target

    return make
