"""The yardstick's comparisons tell a difference, and pass where there is none."""

from __future__ import annotations

import json
import signal

import cv2
import numpy as np
import pytest
import torch

from maintain import yardstick
from superres.errors import UserError


def test_trainings_are_compared_to_the_bit():
    weights = {"state_dict.w": torch.zeros(3)}
    other = {"state_dict.w": torch.tensor([0, 0, 1e-30])}
    assert yardstick.compare_trainings((["a"], weights), (["a"], dict(weights))) == ""
    assert "line 1" in yardstick.compare_trainings((["a"], weights), (["b"], weights))
    assert "2 lines" in yardstick.compare_trainings((["a"], weights), (["a", "b"], weights))
    assert "differ" in yardstick.compare_trainings((["a"], weights), (["a"], other))
    assert "weights" in yardstick.compare_trainings((["a"], weights), (["a"], {"w": other}))
    double = {"state_dict.w": torch.zeros(3, dtype=torch.float64)}
    assert "differ" in yardstick.compare_trainings((["a"], weights), (["a"], double))
    assert "empty" in yardstick.compare_trainings((["a"], {}), (["a"], {}))


def test_scores_are_compared_to_six_decimals_both_ways():
    assert yardstick.compare_scores({"x2 psnr": 30.0}, {"x2 psnr": 30.0000001}) == ""
    assert "30.000010" in yardstick.compare_scores({"x2 psnr": 30.0}, {"x2 psnr": 30.00001})
    assert "x2 ssim" in yardstick.compare_scores({"x2 psnr": 3.0}, {"x2 psnr": 3.0, "x2 ssim": 1.0})
    assert yardstick.compare_scores({}, {})


def test_images_may_differ_by_a_level_in_one_of_100_000_samples(tmp_path):
    yardstick.kinds(tmp_path / "kinds")
    files = sorted((tmp_path / "kinds").iterdir())
    assert len(files) == 10
    read = {p.name: cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in files}
    read["large.png"] = np.zeros((400, 400), np.uint8)
    near = {**read, "large.png": read["large.png"].copy()}
    near["large.png"][0, 0] = 1
    assert yardstick.compare_images(read, near) == ""
    near["large.png"][0, 1] = 2
    assert "large.png" in yardstick.compare_images(read, near)
    assert "other files" in yardstick.compare_images(read, {})


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
    commits = []
    for side in ("OLD", "NEW"):
        (tmp_path / side).mkdir()
        commits.append(yardstick.Commit(side, tmp_path, "python", tmp_path / side))
    rows, odd = yardstick.benchmark(commits, "resize", 2)
    assert {row["variant"]: row["within"] for row in rows} == {"cv2 area": True, "superres": False}
    assert odd == ["lost", "made"]


@pytest.mark.parametrize("wrong", [["no-such"], ["HEAD", "--json", "/no/such/folder/x.json"]])
def test_what_cannot_be_compared_is_told_before_anything_is_made(wrong):
    with pytest.raises(UserError, match=r"no-such|no/such"):
        yardstick.main(["HEAD", *wrong])


def test_a_tool_that_fails_is_a_difference_and_the_rest_is_compared(monkeypatch, capsys):
    def fail(commit, *_):
        raise UserError(f"{commit.name}: upscale ended with 1")

    monkeypatch.setattr(yardstick, "images", fail)
    monkeypatch.setattr(yardstick, "scores", lambda *_: {"x2 psnr": 30.0})
    assert yardstick.main(["HEAD", "HEAD", "--only", "images,scores"]) == 1
    shown = capsys.readouterr().out
    assert "OLD HEAD: upscale ended with 1" in shown
    assert "scores of edsr-s             equal" in shown


@pytest.mark.parametrize(
    "process", ["sleep 60", "trap 'echo told > told; exit' TERM; sleep 60 & wait"]
)
def test_a_stop_reaches_the_tool_that_runs(tmp_path, process):
    """As a SIGTERM, which the tool has time to heed."""
    number = signal.SIGALRM
    before = signal.signal(number, signal.default_int_handler)
    try:
        signal.alarm(1)
        with pytest.raises(KeyboardInterrupt):
            yardstick.run_to_end("tool", ["bash", "-c", process], tmp_path, {})
    finally:
        signal.signal(number, before)
    assert (tmp_path / "told").exists() == ("told" in process)


@pytest.mark.slow
def test_a_commit_equals_itself():
    arguments = ["HEAD", "HEAD", "--only", "traces,scores,images", "--iterations", "4"]
    assert yardstick.main(arguments) == 0
