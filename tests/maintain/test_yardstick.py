"""The yardstick's comparisons tell a difference, and pass where there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from maintain import yardstick
from superres.errors import UserError


def test_trainings_are_compared_to_the_bit_and_scores_to_six_decimals():
    whole = {"iteration 1": {"loss": 0.5}, "w": torch.zeros(3), "x2 psnr": 30.0}
    whole["a.png"] = np.zeros(3, np.uint8)
    assert yardstick.compare(whole, {**whole, "x2 psnr": 30.0000001}) == ""
    assert "nothing" in yardstick.compare({}, {})
    for key, value in {
        "iteration 1": {"loss": 0.5000000001},
        "iteration 2": {"loss": 0.5},
        "w": torch.tensor([0, 0, 1e-30]),
        "x2 psnr": 30.00001,
        "a.png": np.uint8([0, 2, 0]),
    }.items():
        assert key in yardstick.compare(whole, {**whole, key: value})
        assert key in yardstick.compare({**whole, key: value}, whole)
    assert "differs" in yardstick.compare(whole, {**whole, "w": torch.zeros(3).double()})


def test_a_speed_has_changed_where_rounds_do_not_overlap_and_medians_lie_apart():
    assert yardstick.same_speed([1.0, 1.1, 1.2], [1.15, 1.3, 1.4])
    assert yardstick.same_speed([1.0, 1.001, 1.002], [1.02, 1.03, 1.04])
    assert not yardstick.same_speed([1.0, 1.01, 1.02], [1.07, 1.08, 1.09])
    assert not yardstick.same_speed([1.07, 1.08, 1.09], [1.0, 1.01, 1.02])


def test_a_variant_of_one_commit_alone_and_a_slower_one_are_told(tmp_path, monkeypatch):
    def run(commit, tool, name, option, file):
        took = 1.3 if "NEW" in commit.name else 1.0
        names = ["superres", "cv2 area", "lost" if "OLD" in commit.name else "made"]
        rows = [{"name": n, "median": took} for n in names]
        file.write_text(json.dumps({"variants": rows}))

    monkeypatch.setattr(yardstick.Commit, "run", run)
    commits = [yardstick.Commit(side, tmp_path / side) for side in ("OLD", "NEW")]
    found = yardstick.speeds(commits, "resize", 2)
    assert {what.split(": ")[1]: fault for what, fault in found.items()} == {
        "cv2 area x 1.300": "",
        "superres x 1.300": "rounds [1.0, 1.0] / [1.3, 1.3]",
        "lost": "in one commit only",
        "made": "in one commit only",
    }


def test_what_cannot_be_compared_is_told_before_anything_is_made():
    with pytest.raises(UserError, match="no-such"):
        yardstick.main(["HEAD", "no-such"])


def test_a_tool_that_fails_is_a_difference_and_the_rest_is_compared(monkeypatch, capsys):
    def fail(commit, *_):
        raise UserError(f"{commit.name}: train ended with 1")

    monkeypatch.setattr(yardstick, "train", fail)
    monkeypatch.setattr(yardstick, "scores", lambda *_: {"x2 psnr": 30.0})
    monkeypatch.setattr(yardstick, "photographs", lambda *_: None)
    assert yardstick.main(["HEAD", "HEAD", "--only", "traces", "scores"]) == 1
    shown = capsys.readouterr().out
    assert "OLD HEAD: train ended with 1" in shown
    assert "scores of edsr-s             equal" in shown


@pytest.mark.slow
def test_a_commit_equals_itself():
    arguments = ["HEAD", "HEAD", "--only", "traces", "scores", "images", "--iterations", "4"]
    assert yardstick.main(arguments) == 0
