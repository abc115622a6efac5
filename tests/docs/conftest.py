"""A folder with the small files that the pages speak of, and the means to run their blocks."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from superres.checkpoints import convert, save_safetensors
from superres.imaging.io import write_image
from superres.imaging.resize import imresize
from superres.registry import MODELS
from tests.docs import program

ROOT = Path(__file__).resolve().parents[2]
IMAGES = {
    ".": ["photo.png", "photo.jpg", "small.png"],
    "photos": ["beach.jpg", "tree.png"],
    "photos/trip": ["boat.tiff"],
    "my/photos": [f"{n}.png" for n in range(4)],
    "my/valid": ["a.png", "b.png"],
    "data/DIV2K_train": [f"000{n}.png" for n in range(1, 5)],
    "data/DIV2K_valid": ["0801.png", "0802.png"],
    "Set14/HR": ["0.png", "1.png"],
    "data/Set5": [f"{n}.png" for n in ["baby", "bird", "butterfly", "head", "woman"]],
    "data/Set14": [f"img_{n:03}.png" for n in range(1, 15)],
}
SIZES = {"my/photos": (120, 108), "data/DIV2K_train": (204, 216), **dict.fromkeys(
    (".", "photos", "photos/trip"), (32, 40))}  # fmt: skip
# File -> published format, and what the network differs in.
WEIGHTS = {
    "edsr_baseline_x2.pt": ("edsr-pytorch", {}),
    "edsr_basicsr_x2.pth": ("basicsr", {}),
    "edsr_mmediting_x2.pth": ("mmediting", {"img_range": 1.0}),
    "edsr-base/pytorch_model_2x.pt": ("super-image", {"img_range": 1.0, "rgb_mean": None}),
    "srcnn.pth": ("mmediting", {"type": "SRCNN", "channels": (8, 4)}),
}


def picture(seed: int, height: int = 64, width: int = 72) -> np.ndarray:
    """(H, W, 3) uint8: smooth colours."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def weights(path: Path, scale: int, **changes: object) -> Path:
    """An untrained network, an EDSR of 8 channels and 1 block, in a file of ours."""
    config = {"type": "EDSR", "channels": 8, "num_blocks": 1, "scale": scale, **changes}
    if config["type"] != "EDSR":
        config.pop("num_blocks")
    torch.manual_seed(scale)
    return save_safetensors(path, MODELS.build(dict(config)), config)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies in every page's folder: images, sets, weights of every format, trainings."""
    root = tmp_path_factory.mktemp("files")
    for number, (folder, names) in enumerate(IMAGES.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i, name in enumerate(names):
            size = SIZES.get(folder, (64, 72))
            write_image(root / folder / name, picture(10 * number + i, *size))
    (root / "Set14/LR_bicubic/X2").mkdir(parents=True)
    for number in range(2):  # as SelfExSR's sets are made: MATLAB's bicubic of older releases
        lq = imresize(picture(70 + number), scale=1 / 2, border="replicate")
        write_image(root / f"Set14/LR_bicubic/X2/{number}.png", lq)
    clip = cv2.VideoWriter(f"{root}/clip.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 12, (48, 32))
    for number in range(6):
        clip.write(picture(number, 32, 48))
    clip.release()
    (root / "weights/edsr-base").mkdir(parents=True)
    for scale in (2, 4):
        weights(root / f"weights/edsr_x{scale}.safetensors", scale)
    for name, (form, changes) in WEIGHTS.items():
        convert(weights(root / "own.safetensors", 2, **changes), root / "weights" / name, to=form)
    (root / "own.safetensors").unlink()
    shutil.copytree(ROOT / "configs", root / "configs")
    (root / "tools").symlink_to(ROOT / "tools")
    with contextlib.chdir(root):
        for scale in (2, 4):
            assert program.run(["train", f"edsr_x{scale}c64b16_g1_300k_div2k"]) == 0
    return root


@pytest.fixture
def world(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder of these files, the working directory; ``superres`` is on its PATH."""
    place, programs = tmp_path / "page", tmp_path / "bin"
    shutil.copytree(files, place, symlinks=True)
    programs.mkdir()
    for name, target in ("superres", f"'{ROOT}/tests/docs/program.py'"), ("python", ""):
        (programs / name).write_text(f"#!/bin/sh\nexec '{sys.executable}' {target} \"$@\"\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(place)
    return place
