"""What the training benchmarks share: a small training set, a config, a trainer that saves nothing.

It imports torch: benchmarks import it inside ``run``.
"""

from __future__ import annotations

from collections.abc import Iterable
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

# ``--cfg-options`` of a training that does nothing but train, on `write_images`'s set.
ALONE = ["train_set=train", "val_sets=[]", "test_sets=[]", "tensorboard=False",
         "val_interval=None", "checkpoint_interval=None"]  # fmt: skip


def write_images(root: Path, count: int = 8, side: int = 512) -> None:
    """``root/train``: colours of smooth noise, PNG."""
    (root / "train").mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = rng.uniform(0, 255, (side // 8, side // 8, 3)).repeat(8, 0).repeat(8, 1)
        image = np.clip(coarse + rng.normal(0, 8, coarse.shape), 0, 255).astype(np.uint8)
        write_image(root / "train" / f"{i:03d}.png", image)


def config_for(name: str, root: Path, options: Iterable[str]) -> Config:
    """A config whose data lie in ``root``, checked."""
    cfg = load_config(name, [f"data_root={root}", *ALONE, *options])
    check_config(cfg)
    return cfg


def trainer_for(
    cfg: Config, device: torch.device, root: Path, log: RunLog | None = None, hooks: Iterable = ()
) -> Any:
    """A trainer that saves nothing and, without a log, prints nothing."""
    trainer = build_trainer(cfg, device, root, log or RunLog(rank=1), list(hooks))
    trainer.save_checkpoint = lambda *a, **k: None
    trainer.model.train()
    return trainer
