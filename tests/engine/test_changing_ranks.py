"""One run on one rank, then on two, then on one again is the run on one rank."""

from __future__ import annotations

import pytest

from superres.engine.checkpoint import read_checkpoint

from .conftest import read_trace
from .ranks import ended, start_ranks
from .test_distributed import losses, samples


def test_one_rank_two_ranks_one_rank(options, train, tmp_path):
    """EMA and accumulation included; the losses agree to 1e-5."""
    options_here = ["accumulate=2", "val_interval=12"]
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    assert train(*options_here, work_dir=tmp_path / "whole", trace=whole) == 0

    work = tmp_path / "work"
    assert train(*options_here, "max_iters=4", work_dir=work, trace=parts) == 0
    middle = [*options_here, "max_iters=8"]
    both = ended(start_ranks(options, work, middle, middle, resume="auto", trace=str(parts)))
    assert [code for code, _ in both] == [0, 0], both
    assert "over 2 processes" in both[0][1]
    assert train(*options_here, work_dir=work, resume="auto", trace=parts) == 0

    one, three = read_trace(whole), read_trace(parts)
    assert [line["rank"] for line in three] == [0] * 4 + [line["rank"] for line in three[4:12]] + [
        0
    ] * 4
    assert samples(three) == samples(one)
    worst = max(abs(loss / losses(one)[iteration] - 1) for iteration, loss in losses(three).items())
    print(f"largest relative difference of a loss: {worst:.1e}")
    assert losses(three) == pytest.approx(losses(one), rel=1e-5)
    ends = [read_checkpoint(tmp_path / d / "iter_12.pth") for d in ("whole", "work")]
    for part in ("state_dict", "ema_state_dict"):
        for key, value in ends[0][part].items():
            if value.is_floating_point():
                assert abs(value - ends[1][part][key]).max() < 1e-4, key
