"""The yardstick's comparisons tell a difference, and pass where there is none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from maintain import yardstick


def test_trainings_are_compared_to_the_bit():
    weights = {"state_dict.w": torch.zeros(3)}
    other = {"state_dict.w": torch.tensor([0, 0, 1e-30])}
    assert yardstick.compare_trainings((["a"], weights), (["a"], dict(weights))) == ""
    assert "line 1" in yardstick.compare_trainings((["a"], weights), (["b"], weights))
    assert "2 lines" in yardstick.compare_trainings((["a"], weights), (["a", "b"], weights))
    assert "differ" in yardstick.compare_trainings((["a"], weights), (["a"], other))
    assert "weights" in yardstick.compare_trainings((["a"], weights), (["a"], {}))


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


@pytest.mark.slow
def test_a_commit_equals_itself():
    arguments = ["HEAD", "HEAD", "--only", "traces,scores,images", "--iterations", "4"]
    assert yardstick.main(arguments) == 0
