"""Training and testing from Python."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mmengine.config import Config

import superres
from superres.engine.config.load import load_config
from superres.errors import UserError

from .conftest import CONFIG, ROOT, picture


@pytest.fixture
def changes(world):
    return {
        "data_root": world,
        "train_set": "train",
        "val_sets": ["valid"],
        "test_sets": ["testset"],
        "lq_patch_size": 12,
        "global_batch_size": 4,
        "num_workers": 0,
        "max_iters": 6,
        "val_interval": 6,
        "checkpoint_interval": 3,
        "tensorboard": False,
        "options": {"model.backbone.channels": 8, "model.backbone.num_blocks": 1},
    }


def test_train_test_and_upscale(changes, tmp_path):
    run = superres.train(CONFIG, work_dir=tmp_path / "work", seed=1, **changes)
    assert run.finished
    assert run.checkpoint == tmp_path / "work" / "best.pth"
    model = run.model()
    assert model.upscale(picture(1)).shape == (128, 144, 3)

    record = superres.test(CONFIG, run.checkpoint, out=tmp_path / "scores", **changes)
    (entry,) = [e for e in record["results"] if e["set"] == "testset"]
    assert len(entry["images"]) == 2
    assert entry["psnr"] > 5
    assert json.loads((tmp_path / "scores" / "results.json").read_text()) == record


def test_mistakes(changes, tmp_path):
    with pytest.raises(UserError, match="max_iters"):
        superres.train(CONFIG, work_dir=tmp_path, max_iter=3)
    with pytest.raises(UserError, match="edsr_x2c64b16_g1_300k_div2k"):
        superres.train("edsr_x2c64b16_g1_300k_div")
    with pytest.raises(UserError, match="a NoneType is not a config"):
        superres.train(None)
    with pytest.raises(UserError, match="out='DIR'"):
        superres.test(CONFIG, "x.pth", report=True)


def test_values_are_those_of_a_config():
    changes = {"data_root": ROOT, "val_sets": ("a", ROOT), "max_iters": np.int64(3), "ema": None}
    cfg = load_config(CONFIG, {**changes, "optim_wrapper.clip_grad": {"max_norm": 1}})
    assert (cfg.data_root, cfg.val_sets) == (str(ROOT), ["a", str(ROOT)])
    assert type(cfg.max_iters) is int
    assert cfg.optim_wrapper.clip_grad.max_norm == 1
    own = Config.fromfile(CONFIG)
    assert load_config(own, {"scale": 3}).model.backbone.scale == 3
    assert own.scale == 2
