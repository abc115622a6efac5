"""The arithmetic of scaling, against numbers by hand and against what was measured."""

from __future__ import annotations

import json
import sys

import pytest

from maintain import scaling
from maintain.scaling import (
    MEASURED,
    Hardware,
    all_reduce_bytes,
    needs,
    slowest,
    step_of,
    work_of,
)
from superres.engine.config.types import use_scope
from superres.errors import UserError

EDSR = {"type": "EDSR", "scale": 2, "channels": 64, "num_blocks": 16}


@pytest.fixture(scope="module")
def work():
    use_scope()
    return work_of("edsr", EDSR, 2, 48, 16)


def test_one_iteration_of_edsr_baseline(work):
    # 1,369,859 weights; 0.30 TFLOP at batch 16, LR 48x48, x2: 6 operations a weight and pixel.
    assert work.parameters == 1_369_859
    assert work.flops * work.batch == pytest.approx(0.304e12, rel=2e-3)
    assert work.gradient_bytes == 4 * 1_369_859


@pytest.mark.parametrize(("gpus", "wanted"), [(1, 0), (2, 1000), (4, 1500)])
def test_bytes_of_a_ring(gpus, wanted):
    assert all_reduce_bytes(1000, gpus) == wanted


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ({}, (1, "compute")),
        ({"memory": 2}, (2, "memory")),
        ({"network": 0.4}, (1, "compute")),
        ({"network": 0.9}, (1.4, "network")),
        ({"network": 0.9, "data": 3}, (3, "data")),
    ],
)
def test_what_bounds_a_step(parts, wanted):
    assert slowest(
        **{"compute": 1, "memory": 0.5, "network": 0, "data": 0, **parts}, overlap=0.5
    ) == (wanted)


def test_the_rates_that_are_needed_are_the_border(work):
    hw = Hardware(link=1e15, link_latency=0, network_latency=0)
    _, network, samples = needs(work, hw)
    for factor, bound in ((1.01, "compute"), (0.98, "network")):
        here = Hardware(**{**vars(hw), "network": network * 1e9 * factor})
        assert step_of(work, 8192, 16 * 8192, here)[1] == bound
    for factor, bound in ((1.01, "compute"), (0.99, "data")):
        here = Hardware(**{**vars(hw), "samples": samples / hw.workers * factor})
        assert step_of(work, 1, 16, here)[1] == bound


def test_the_model_holds_where_it_was_measured():
    points = json.loads(MEASURED.read_text())["points"]
    for point in points:
        tolerance = 0.3 if point["name"].startswith("seconds") else 0.05
        assert point["ratio"] == pytest.approx(1, abs=tolerance), point["name"]
    assert len(points) == 5


def test_other_hardware(monkeypatch, capsys):
    monkeypatch.setattr(scaling, "MODELS", ("edsr_x2c64b16_g1_300k_div2k",))
    monkeypatch.setattr(sys, "argv", ["scaling.py", "gpus_per_node=1", "network=1.25e8"])
    assert scaling.main() == 0
    printed = capsys.readouterr().out
    assert "1 GPUs a node" in printed
    assert "1,369,859" in printed
    for wrong in ("speed=1", "flops=fast", "flops=0", "flops"):
        monkeypatch.setattr(sys, "argv", ["scaling.py", wrong])
        with pytest.raises(UserError, match=f"{wrong}: KEY=NUMBER"):
            scaling.main()
