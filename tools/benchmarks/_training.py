"""What the training benchmarks share: a small training set, a config, the plain step of others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from superres.engine.config.check import check_config
from superres.engine.config.load import load_config
from superres.engine.run_log import RunLog
from superres.engine.train.build import build_trainer
from superres.imaging.io import write_image


def write_images(root: Path, count: int = 8, side: int = 512) -> None:
    """``root/train``: colours of smooth noise, PNG."""
    (root / "train").mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = rng.uniform(0, 255, (side // 8, side // 8, 3)).repeat(8, 0).repeat(8, 1)
        image = np.clip(coarse + rng.normal(0, 8, coarse.shape), 0, 255).astype(np.uint8)
        write_image(root / "train" / f"{i:03d}.png", image)


def config_for(name: str, root: Path, options: list[str]) -> Config:
    """A config that trains on :func:`write_images`'s set and does nothing but train."""
    own = [f"data_root={root}", "train_set=train", "val_sets=[]", "test_sets=[]",
           "tensorboard=False", "val_interval=None", "checkpoint_interval=None"]  # fmt: skip
    cfg = load_config(name, [*own, *options])
    check_config(cfg)
    return cfg


def trainer_for(cfg: Config, device: torch.device, root: Path, log: Any = None, hooks=()) -> Any:
    """A trainer that saves nothing and, without a log, prints nothing."""
    trainer = build_trainer(cfg, device, root, log or RunLog(rank=1), list(hooks))
    trainer.save_checkpoint = lambda *a, **k: None
    return trainer


def plain_step(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer, lq: torch.Tensor, gt: torch.Tensor
) -> Callable[[], torch.Tensor]:
    """An update as the other toolboxes write it: contiguous float32 tensors, L1, eager."""
    loss_function = torch.nn.L1Loss()

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_function(network(lq), gt)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
