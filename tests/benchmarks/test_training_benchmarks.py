"""The training benchmarks run, state what they promise, and end as a page."""

from __future__ import annotations

import json

import pytest

from superres.benchmarks import _page
from superres.cli.main import main
from superres.errors import UserError

SMALL = ["--cfg-options", "model.backbone.channels=4", "model.backbone.num_blocks=1",
         "lq_patch_size=8", "global_batch_size=2", "num_workers=0"]  # fmt: skip
CONFIG = "edsr_x2c64b16_g1_300k_div2k"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("train") / "benchmark-train.json"
    assert main(["benchmark", "train", CONFIG, "--json", str(path), *SMALL]) == 0
    return path


def test_train_compares_with_the_plain_step(trained):
    result = json.loads(trained.read_text())
    assert result["benchmark"] == "train"
    rates = {v["name"]: v["median"] for v in result["variants"] if v["unit"] == "it/s"}
    assert list(rates) == [
        "contiguous float32 eager",
        "superres, fast='off'",
        "+ channels_last",
        "superres, default",
        "+ bfloat16",
    ]
    images = {v["name"]: v["median"] for v in result["variants"] if v["unit"] == "images/s"}
    assert images == pytest.approx({name: 2 * rate for name, rate in rates.items()})
    speedup = result["ratios"]["superres, default / contiguous float32 eager"]
    assert speedup == pytest.approx(rates["superres, default"] / rates["contiguous float32 eager"])
    assert 0 <= result["ratios"]["superres, default: share of time waiting for data"] <= 1
    # 2 operations a product, 3 passes: EDSR of one block of 4 channels, x2, by hand.
    convolutions = 8 * 8 * 9 * (3 * 4 + 3 * 4 * 4 + 4 * 16) + 16 * 16 * 9 * 4 * 3
    forward = 2 * 2 * convolutions
    first = 2 * 2 * 8 * 8 * 9 * 3 * 4  # no gradient of the picture is asked for
    told = result["setup"]["TFLOP per iteration"]
    assert told == pytest.approx((3 * forward - first) / 1e12, rel=1e-6)


def test_a_wrong_loss_is_not_benchmarked(monkeypatch):
    from superres.benchmarks import train

    class Wrong:
        class fast:
            amp = None

        def step(self, batch, seed):
            return {"loss": 2.0}

    with pytest.raises(AssertionError, match="instead of"):
        train._assert_equal(lambda: 1.0, {"wrong": Wrong()}, {})


def test_the_loop_is_measured_where_it_is_asked_for(tmp_path, monkeypatch):
    from superres.benchmarks import loop

    monkeypatch.setattr(loop, "ITERATIONS", 5)
    path = tmp_path / "loop.json"
    arguments = ["benchmark", "loop", CONFIG, "--at-iter", "1,300000", "--json", str(path)]
    assert main(arguments) == 0
    result = json.loads(path.read_text())
    names = {v["name"]: v["median"] for v in result["variants"]}
    for place in ("1", "300,000"):
        assert names[f"forward, from iteration {place}"] > 0
        loop_time = names[f"loop, from iteration {place}"]
        assert result["ratios"][f"loop from iteration {place} / 0.25 ms (below 1)"] == (
            pytest.approx(loop_time / 0.25)
        )
    assert main(["benchmark", "loop", "--at-iter", "soon"]) == 2


def test_the_page(trained, tmp_path):
    folder = trained.parent
    page = tmp_path / "performance.md"
    assert _page.main([str(folder), str(page)]) == 0
    text = page.read_text()
    assert "Not yet measured on a GPU" in text
    assert "| superres, default / contiguous float32 eager |" in text
    result = json.loads(trained.read_text())
    assert "Not yet measured" not in _page.page([("x", {**result, "device": "NVIDIA X"})])
    (folder / "benchmark-broken.json").write_text('{"benchmark": 1}')
    with pytest.raises(UserError, match="benchmark-broken"):
        _page.main([str(folder), str(page)])
