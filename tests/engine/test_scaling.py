"""The arithmetic of scaling, against numbers by hand and against what can be measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superres.cli.main import main
from superres.engine.config.types import use_scope
from superres.engine.scaling import Hardware, Step, all_reduce_bytes, needs, step_of, work_of

EDSR = {"type": "EDSR", "scale": 2, "channels": 64, "num_blocks": 16}
MEASURED = Path(__file__).resolve().parents[2] / "docs/results/scaling_cpu.json"


@pytest.fixture(scope="module")
def work():
    use_scope()
    return work_of("edsr", EDSR, 2, 48, 16)


def test_one_iteration_of_edsr_baseline(work):
    # 1,369,859 weights; 0.30 TFLOP at batch 16, LR 48x48, x2: 6 operations a weight and pixel.
    assert work.parameters == 1_369_859
    assert work.flops * work.batch == pytest.approx(0.304e12, rel=2e-3)
    assert work.gradient_bytes == 4 * 1_369_859


def test_bytes_of_a_ring():
    assert all_reduce_bytes(1000, 1) == 0
    assert all_reduce_bytes(1000, 2) == 1000
    assert all_reduce_bytes(1000, 4) == 1500


def test_what_bounds_a_step():
    def step(**parts):
        return Step(
            gpus=8, batch=16, **{"compute": 1, "memory": 0.5, "network": 0, "data": 0, **parts}
        )

    assert (step().seconds(0.5), step().bound(0.5)) == (1, "compute")
    assert (step(memory=2).seconds(0.5), step(memory=2).bound(0.5)) == (2, "memory")
    assert (step(network=0.4).seconds(0.5), step(network=0.4).bound(0.5)) == (1, "compute")
    assert (step(network=0.9).seconds(0.5), step(network=0.9).bound(0.5)) == (1.4, "network")
    assert (step(network=0.9, data=3).seconds(0.5), step(data=3).bound(0.5)) == (3, "data")


def test_the_rates_that_are_needed_are_the_border(work):
    hw = Hardware(link=1e15, link_latency=0, network_latency=0)
    _, network, samples = needs(work, hw)
    for factor, bound in ((1.01, "compute"), (0.98, "network")):
        here = Hardware(**{**vars(hw), "network": network * 1e9 * factor})
        assert step_of(work, 8192, 16 * 8192, here).bound(hw.overlap) == bound
    for factor, bound in ((1.01, "compute"), (0.99, "data")):
        here = Hardware(**{**vars(hw), "samples": samples / hw.workers * factor})
        assert step_of(work, 1, 16, here).bound(hw.overlap) == bound


def test_the_model_holds_where_it_was_measured():
    points = {p["name"]: p for p in json.loads(MEASURED.read_text())["points"]}
    for name, point in points.items():
        tolerance = 0.3 if name.startswith("seconds") else 0.05
        assert point["ratio"] == pytest.approx(1, abs=tolerance), name
    assert len(points) == 5


@pytest.mark.slow
def test_measured_again(tmp_path):
    """What does not depend on how busy the machine is."""
    assert (
        main(["scaling", "edsr_x2c64b16_g1_300k_div2k", "--measure", str(tmp_path / "m.json")]) == 0
    )
    for point in json.loads((tmp_path / "m.json").read_text())["points"]:
        if point["name"].startswith(("operations", "bytes of")):
            assert point["ratio"] == pytest.approx(1, abs=0.02), point


def test_the_command(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- made by `superres scaling` -->\nold\n<!-- end -->\nb\n")
    name = "edsr_x2c64b16_g1_300k_div2k"
    assert (
        main(["scaling", name, "--write", str(page), "--set", "gpus_per_node=1", "network=1.25e8"])
        == 0
    )
    text = page.read_text()
    assert text.startswith("a\n")
    assert text.endswith("<!-- end -->\nb\n")
    assert "old" not in text
    assert "1,369,859" in text
    assert "network |" in text
    capsys.readouterr()
    for wrong in ("speed=1", "flops=fast", "flops=0", "flops"):
        assert main(["scaling", name, "--set", wrong]) == 2
        assert "--set" in capsys.readouterr().err
    (tmp_path / "other.md").write_text("nothing")
    assert main(["scaling", name, "--write", str(tmp_path / "other.md")]) == 2
