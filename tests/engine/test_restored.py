"""Checkpoints that somebody changed, or that are of another program, given to ``--resume``."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from superres.cli.main import main

from .conftest import CONFIG


@pytest.fixture(scope="module")
def content(options, tmp_path_factory) -> dict[str, Any]:
    """Of a checkpoint after 6 iterations."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(command(folder, options)) == 0
    return torch.load(folder / "iter_6.pth", weights_only=True)


def command(folder: Path, options: list[str], *flags: str, iterations: int = 6) -> list[str]:
    return [
        *("train", CONFIG, "--work-dir", str(folder), *flags),
        *("--cfg-options", *options, f"max_iters={iterations}"),
    ]


def put(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(content):
        for key in keys:
            content = content[key]
        content[last] = value

    return change


STATE = ("optimizer", "state", 0)
GROUP = ("optimizer", "param_groups", 0)
WEIGHT = "backbone.conv_first.weight"
CHANGES = {
    "no meta": put("meta", True),
    "no iteration": put("meta", {}),
    "a weight that is none": put("state_dict", WEIGHT, [1]),
    "averaged weights of another size": put("ema_state_dict", WEIGHT, torch.zeros(1)),
    "a moment of another size": put(*STATE, "exp_avg", torch.zeros(1)),
    "a moment that is sparse": put(*STATE, "exp_avg", torch.zeros(8, 3, 3, 3).to_sparse()),
    "nothing of a weight": put("optimizer", "state", 0, None),
    "another optimiser": lambda content: content["optimizer"]["param_groups"][0].pop("betas"),
    "other weights": put(*GROUP, "params", [0, 0, 0]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_one_message_and_no_crash(change, content, options, tmp_path, capsys):
    """The kernel of the fused optimiser read beyond the end of moments of another size."""
    changed = copy.deepcopy(content)
    change(changed)
    path = tmp_path / "iter_6.pth"
    torch.save(changed, path)
    resume = command(tmp_path / "work", options, "--resume", str(path), iterations=7)
    assert main(resume) == 2
    error = capsys.readouterr().err
    assert str(path) in error or "the averaged weights in the checkpoint" in error


def test_what_is_whole_goes_on(content, options, tmp_path):
    """Also with what a scheduler of this version does not know."""
    changed = copy.deepcopy(content)
    changed["param_schedulers"][0]["step"] = "not the method"
    path = tmp_path / "iter_6.pth"
    torch.save(changed, path)
    resume = command(tmp_path / "work", options, "--resume", str(path), iterations=7)
    assert main(resume) == 0
