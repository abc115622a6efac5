"""A folder with the small files that the pages speak of, and the means to run their blocks."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from superres.checkpoints import convert, save_safetensors, shipped
from superres.imaging.io import write_image
from superres.imaging.resize import imresize
from superres.models.backbones.edsr import EDSR
from superres.models.backbones.srcnn import SRCNN
from tests.docs import program

ROOT = Path(__file__).resolve().parents[2]


def picture(seed: int, height: int = 64, width: int = 72) -> np.ndarray:
    """(H, W, 3) uint8: waves, and blocks with hard edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [100 + 50 * np.sin(x / (4 + c + seed % 3) + y / (7 - c)) for c in range(3)]
    blocks = rng.uniform(-40, 60, (-(-height // 8), -(-width // 8), 3)).repeat(8, 0).repeat(8, 1)
    return np.clip(np.stack(waves, -1) + blocks[:height, :width], 0, 255).astype(np.uint8)


def weights(path: Path, scale: int, **changes: object) -> Path:
    """An untrained EDSR of 8 channels and 1 block in a file of ours."""
    config = {"type": "EDSR", "channels": 8, "num_blocks": 1, "scale": scale, **changes}
    torch.manual_seed(scale)
    network = EDSR(**{k: v for k, v in config.items() if k != "type"})
    return save_safetensors(path, network, config)


def clip(path: Path) -> None:
    """A video of six frames, where PyAV is installed."""
    try:
        import av
    except ImportError:
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(picture(number, 32, 48), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture(scope="session")
def stand_in_weights(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A folder of untrained ``edsr-s`` where the real ones are not in the checkout, else None."""
    if "edsr-s_x2" in shipped.shipped():
        return None
    folder = tmp_path_factory.mktemp("stand_in")
    print("edsr-s did not come with this checkout: untrained weights stand in for it")
    for scale in (2, 3, 4):
        weights(folder / f"edsr-s_x{scale}.safetensors", scale)
    return folder


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies in every page's folder: pictures, sets, weights of every format, trainings."""
    root = tmp_path_factory.mktemp("files")
    folders = {
        ".": ["photo.png", "photo.jpg", "small.png"],
        "photos": ["beach.jpg", "tree.png"],
        "photos/trip": ["boat.tiff"],
        "my/photos": [f"{n}.png" for n in range(4)],
        "my/valid": ["a.png", "b.png"],
        "data/DIV2K_train": [f"000{n}.png" for n in range(1, 5)],
        "data/DIV2K_valid": ["0801.png", "0802.png"],
        "Set14/HR": [],
        "Set14/LR_bicubic/X2": [],
        "data/Set5": [f"{n}.png" for n in ["baby", "bird", "butterfly", "head", "woman"]],
        "data/Set14": [f"img_{n:03}.png" for n in range(1, 15)],
    }
    for number, (folder, names) in enumerate(folders.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i, name in enumerate(names):
            small = folder in (".", "photos", "photos/trip")
            size = {"my/photos": (120, 108), "data/DIV2K_train": (204, 216)}.get(folder, (64, 72))
            size = (32, 40) if small else size
            write_image(root / folder / name, picture(10 * number + i, *size))
    for number in range(2):  # as SelfExSR's sets are made: MATLAB's bicubic of older releases
        gt = picture(number)
        lq = imresize(gt, scale=1 / 2, border="replicate")
        write_image(root / f"Set14/HR/{number}.png", gt)
        write_image(root / f"Set14/LR_bicubic/X2/{number}.png", lq)
    clip(root / "clip.mp4")
    (root / "weights").mkdir()
    own = weights(root / "weights/edsr_x2.safetensors", 2)
    weights(root / "weights/edsr_x4.safetensors", 4)
    convert(own, root / "weights/edsr_baseline_x2.pt", to="edsr-pytorch")
    convert(own, root / "weights/edsr_basicsr_x2.pth", to="basicsr")
    unit = weights(root / "unit.safetensors", 2, img_range=1.0)
    convert(unit, root / "weights/edsr_mmediting_x2.pth", to="mmediting")
    plain = weights(root / "unit.safetensors", 2, img_range=1.0, rgb_mean=None)
    (root / "weights/edsr-base").mkdir()
    convert(plain, root / "weights/edsr-base/pytorch_model_2x.pt", to="super-image")
    sizes = {"channels": (8, 4), "scale": 2}
    save_safetensors(root / "unit.safetensors", SRCNN(**sizes), {"type": "SRCNN", **sizes})
    convert(root / "unit.safetensors", root / "weights/srcnn.pth", to="mmediting")
    (root / "unit.safetensors").unlink()
    shutil.copytree(ROOT / "configs", root / "configs")
    (root / "tools").symlink_to(ROOT / "tools")
    before = Path.cwd()
    os.chdir(root)
    try:
        for scale in (2, 4):
            assert program.run(["train", f"edsr_x{scale}c64b16_g1_300k_div2k"]) == 0
    finally:
        os.chdir(before)
    return root


@pytest.fixture
def world(
    files: Path,
    stand_in_weights: Path | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], Path]:
    """Makes a fresh folder of these files the working directory; ``superres`` is on its PATH."""

    def enter() -> Path:
        place = tmp_path / "page"
        shutil.copytree(files, place, symlinks=True)
        programs = tmp_path / "bin"
        programs.mkdir()
        for name, target in (("superres", [ROOT / "tests/docs/program.py"]), ("python", [])):
            script = programs / name
            words = " ".join(f"'{word}'" for word in (sys.executable, *target))
            script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            script.chmod(0o755)
        monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
        monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("MPLBACKEND", "agg")
        if stand_in_weights:
            monkeypatch.setenv("SUPERRES_DOCS_WEIGHTS", str(stand_in_weights))
            monkeypatch.setattr(shipped, "WEIGHTS", stand_in_weights)
        monkeypatch.chdir(place)
        return place

    return enter
