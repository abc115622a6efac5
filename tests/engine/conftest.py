"""A tiny world to train in: six images, a network of a few hundred weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._pytree import keystr, tree_flatten_with_path

from superres.cli.main import main
from superres.imaging.io import write_image

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs/edsr/edsr_x2c64b16_g1_300k_div2k.py")


def picture(seed: int, height: int = 64, width: int = 72) -> np.ndarray:
    """Smooth random colours with edges: enough structure to learn from."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 10.0
    waves = [np.sin(x * rng.uniform(0.3, 2) + y * rng.uniform(0.3, 2) + c) for c in range(3)]
    blocks = rng.uniform(-40, 40, (8, 9, 3)).repeat(8, 0).repeat(8, 1)[:height, :width]
    return np.clip(127 + 60 * np.stack(waves, -1) + blocks, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See :func:`make_world`."""
    return make_world(tmp_path_factory.mktemp("world"))


def make_world(root: Path) -> Path:
    """``train/`` with six images and ``valid/``, ``testset/`` with two each."""
    for folder, seeds in (("train", range(6)), ("valid", (10, 11)), ("testset", (20, 21))):
        (root / folder).mkdir()
        for seed in seeds:
            write_image(root / folder / f"p{seed}.png", picture(seed))
    return root


@pytest.fixture(scope="session")
def options(world: Path) -> list[str]:
    """See :func:`tiny_options`."""
    return tiny_options(world)


def tiny_options(world: Path) -> list[str]:
    """``--cfg-options`` for a run of seconds."""
    return [
        f"data_root={world}",
        "train_set=train",
        "val_sets=[valid]",
        "test_sets=[testset]",
        "lq_patch_size=12",
        "global_batch_size=4",
        "num_workers=0",
        "max_iters=12",
        "val_interval=6",
        "checkpoint_interval=3",
        "log_interval=4",
        "max_keep_checkpoints=100",
        "model.backbone.channels=8",
        "model.backbone.num_blocks=1",
        "param_scheduler.0.milestones=[5,9]",
        "optim_wrapper.optimizer.lr=0.001",
        "ema=0.9",
        "tensorboard=False",
    ]


@pytest.fixture
def train(options: list[str], tmp_path: Path) -> Callable[..., int]:
    """Train in this process: ``train(*options, work_dir=..., **flags)`` gives the exit code."""

    def run(*extra: str, work_dir: Path | None = None, config: str = CONFIG, **flags: str) -> int:
        arguments = ["train", config, "--work-dir", str(work_dir or tmp_path / "work")]
        for key, value in flags.items():
            arguments += [f"--{key.replace('_', '-')}", str(value)]
        return main([*arguments, "--cfg-options", *options, *extra])

    return run


def command(
    options: list[str], work_dir: Path, *extra: str, config: str = CONFIG, **flags: str
) -> list[str]:
    """The same as a command line for a process of its own."""
    arguments = [sys.executable, str(ROOT / "tools/train.py"), config, "--work-dir", str(work_dir)]
    for key, value in flags.items():
        arguments += [f"--{key.replace('_', '-')}", str(value)]
    return [*arguments, "--cfg-options", *options, *extra]


def start(arguments: list[str], **env: str) -> subprocess.Popen:
    """A process whose output is collected, one thread each so that results are comparable."""
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )


def finish(process: subprocess.Popen, code: int = 0, timeout: float = 400) -> str:
    """Its output, once it has ended with ``code``."""
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == code, output
    return output


def read_trace(path: Path) -> list[dict]:
    """The lines of a trace file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def differences(first: Path, second: Path) -> list[str]:
    """The entries of two checkpoints that are not equal bit for bit, ``meta`` left out."""

    sides = []
    for path in (first, second):
        state = torch.load(path, weights_only=True)
        assert {"state_dict", "ema_state_dict", "optimizer", "param_schedulers"} <= set(state)
        state.pop("meta")
        sides.append({keystr(key): value for key, value in tree_flatten_with_path(state)[0]})
    assert sides[0].keys() == sides[1].keys()
    return [
        key
        for key, value in sides[0].items()
        if not (
            torch.equal(value, sides[1][key])
            if isinstance(value, torch.Tensor)
            else value == sides[1][key]
        )
    ]
