"""A learning rate that goes with the batch."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from superres.engine.config.load import load_config
from superres.engine.config.scale_lr import scale_lr
from superres.errors import UserError

from .conftest import CONFIG, read_trace


def test_the_linear_rule():
    cfg = load_config(CONFIG, ["global_batch_size=64", "auto_scale_lr.enable=True"])
    line = scale_lr(cfg)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(4e-4)
    assert "4 times the base batch 16" in line
    assert "0.0001 becomes 0.0004" in line
    # What is saved of it does not scale again.
    again = Config(cfg._cfg_dict.to_dict())
    assert scale_lr(again) == ""
    assert again.optim_wrapper.optimizer.lr == pytest.approx(4e-4)


def test_no_rule_unless_asked_for():
    cfg = load_config(CONFIG, ["global_batch_size=64"])
    assert scale_lr(cfg) == ""
    assert cfg.optim_wrapper.optimizer.lr == 1e-4


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"enable": True}, "base_batch_size = None"),
        ({"enable": True, "base_batch_size": 0}, "base_batch_size = 0"),
        ({"enabled": True, "base_batch_size": 16}, "must be dict"),
        (True, "must be dict"),
    ],
)
def test_rules_that_cannot_be(value, words):
    cfg = load_config(CONFIG)
    cfg._cfg_dict.pop("auto_scale_lr", None)
    cfg.auto_scale_lr = value
    with pytest.raises(UserError, match=words):
        scale_lr(cfg)


def test_it_is_said_and_goes_on_unchanged(train, tmp_path, capsys):
    scaled = ["auto_scale_lr.enable=True", "auto_scale_lr.base_batch_size=2"]
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    assert train(*scaled, work_dir=tmp_path / "whole", trace=whole) == 0
    assert "learning rate 0.001 becomes 0.002" in capsys.readouterr().out
    assert read_trace(whole)[0]["lr"] == pytest.approx(0.002)
    assert train(*scaled, "max_iters=6", work_dir=tmp_path / "parts", trace=parts) == 0
    capsys.readouterr()
    assert train(*scaled, work_dir=tmp_path / "parts", resume="auto", trace=parts) == 0
    assert "differs from the checkpoint's" not in capsys.readouterr().out
    assert read_trace(parts) == read_trace(whole)
