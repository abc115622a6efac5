"""Optimiser state shared out over ranks; a learning rate that goes with the batch."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config

from superres.engine.config.load import load_config
from superres.engine.config.scale_lr import scale_lr
from superres.engine.train.checkpoint import read_checkpoint
from superres.errors import UserError

from .conftest import CONFIG, read_trace
from .ranks import ended, start_ranks

ZERO = ["optim_wrapper.optimizer.type=ZeroOptimizer", "optim_wrapper.optimizer.optimizer_type=Adam"]


def optimiser_states(path):
    """The state of each weight, and the options."""
    saved = read_checkpoint(path)["optimizer"]
    return saved["state"], saved["param_groups"]


def test_shared_state_trains_the_same_and_its_checkpoint_is_complete(options, train, tmp_path):
    for name, extra in (("plain", []), ("zero", ZERO)):
        ranks = start_ranks(
            options,
            tmp_path / name,
            [*extra, "max_iters=6"],
            [*extra, "max_iters=6"],
            trace=str(tmp_path / f"{name}.jsonl"),
        )
        for code, output in ended(ranks):
            assert code == 0, output
    plain, zero = (read_checkpoint(tmp_path / n / "iter_6.pth") for n in ("plain", "zero"))
    for key, value in plain["state_dict"].items():
        torch.testing.assert_close(zero["state_dict"][key], value, rtol=1e-5, atol=1e-7)
    states, groups = optimiser_states(tmp_path / "zero" / "iter_6.pth")
    wanted, wanted_groups = optimiser_states(tmp_path / "plain" / "iter_6.pth")
    assert states.keys() == wanted.keys()
    for number, state in wanted.items():
        for key, value in state.items():
            torch.testing.assert_close(states[number][key], value, rtol=1e-4, atol=1e-8)
    assert [g["params"] for g in groups] == [g["params"] for g in wanted_groups]
    # One process goes on from it, with the option and without; both as the plain run would.
    expected = tmp_path / "expected.jsonl"
    assert train(work_dir=tmp_path / "plain", resume="auto", trace=expected) == 0
    losses = [line["loss"] for line in read_trace(expected)]
    assert len(losses) == 6
    for name, extra in (("with", ZERO), ("without", [])):
        trace = tmp_path / f"{name}.jsonl"
        start = tmp_path / "zero" / "iter_6.pth"
        assert train(*extra, work_dir=tmp_path / name, resume=start, trace=trace) == 0
        assert [line["loss"] for line in read_trace(trace)] == pytest.approx(losses, rel=1e-4)


def test_two_ranks_go_on_from_one_with_shared_state(options, train, tmp_path):
    whole = tmp_path / "whole.jsonl"
    assert train(work_dir=tmp_path / "whole", trace=whole) == 0
    assert train("max_iters=6", *ZERO, work_dir=tmp_path / "work") == 0
    trace = tmp_path / "trace.jsonl"
    ranks = start_ranks(options, tmp_path / "work", ZERO, ZERO, resume="auto", trace=str(trace))
    for code, output in ended(ranks):
        assert code == 0, output
    by_iteration = {}
    for line in read_trace(trace):
        by_iteration.setdefault(line["iter"], []).append(line["loss"])
    means = [sum(values) / 2 for _, values in sorted(by_iteration.items())]
    assert means == pytest.approx([line["loss"] for line in read_trace(whole)][6:], rel=1e-5)


def test_an_unknown_optimiser(train, capsys):
    assert train(ZERO[0], "optim_wrapper.optimizer.optimizer_type=Addam") == 2
    assert "optimizer_type = 'Addam'" in capsys.readouterr().err


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
