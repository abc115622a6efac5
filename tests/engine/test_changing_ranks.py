"""A run that goes on with another number of processes, with every part of the fast step."""

from __future__ import annotations

import pytest

from .conftest import finish, read_trace
from .test_distributed import dist, losses, samples


def test_one_rank_then_two_then_one(options, train, tmp_path):
    parts = ["fast=dict(channels_last=True,fused=True)", "accumulate=2", "recompute=['body.*']"]
    assert train(*parts, work_dir=tmp_path / "whole", trace=tmp_path / "whole.jsonl") == 0
    folder, trace = tmp_path / "work", tmp_path / "trace.jsonl"
    assert train(*parts, "max_iters=4", work_dir=folder, trace=trace) == 0
    finish(dist(options, folder, *parts, "max_iters=8", resume="auto", trace=trace))
    assert train(*parts, work_dir=folder, resume="auto", trace=trace) == 0
    whole, changing = read_trace(tmp_path / "whole.jsonl"), read_trace(trace)
    ranks = {i: sum(line["iter"] == i for line in changing) for i in range(1, 13)}
    assert list(ranks.values()) == [1] * 4 + [2] * 4 + [1] * 4
    assert samples(whole) == samples(changing)
    assert losses(changing) == pytest.approx(losses(whole), rel=1e-5)
