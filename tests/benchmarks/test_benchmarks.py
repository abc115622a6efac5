"""Each benchmark runs on little work, and states what it promises."""

from __future__ import annotations

import json
import tempfile

import pytest

from benchmark import main
from benchmarks import data, loop, photo, train
from benchmarks.harness import row
from superres.inference import backends

from .test_harness import SCHEMA

SMALL = ["--cfg-options", "model.backbone.channels=4", "model.backbone.num_blocks=1",
         "lq_patch_size=8", "global_batch_size=2", "num_workers=0"]  # fmt: skip
CONFIG = "edsr_x2c64b16_g1_300k_div2k"


def measured(tmp_path, name: str, *words: str) -> dict:
    """What a benchmark writes: in the schema, its ratios those of the medians."""
    file = tmp_path / "out.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        assert main([name, "--json", str(file), *words]) == 0
    assert not list(tmp_path.glob("superres-*"))  # what it made is gone
    result = json.loads(file.read_text(encoding="utf-8"))
    assert set(result) == SCHEMA
    assert (result["schema"], result["benchmark"]) == (1, name)
    medians = {v["name"]: v["median"] for v in result["variants"]}
    for variant in result["variants"]:
        assert set(variant) == {"name", "median", "unit", "repeats"}
    for name, value in result["ratios"].items():
        above, below = name.split(" / ")
        if below in medians:
            assert value == pytest.approx(medians[above] / medians[below])
    return result


def test_train_compares_with_the_plain_step(tmp_path):
    result = measured(tmp_path, "train", CONFIG, *SMALL)
    rates = {v["name"]: v["median"] for v in result["variants"] if v["unit"] == "it/s"}
    assert list(rates) == [
        "contiguous float32 eager",
        "superres, speed='off'",
        "+ channels_last",
        "superres, default",
        "+ bfloat16",
    ]
    assert "superres, default / contiguous float32 eager" in result["ratios"]
    # 2 operations a product, 3 passes: EDSR of one block of 4 channels, x2, by hand.
    convolutions = 8 * 8 * 9 * (3 * 4 + 3 * 4 * 4 + 4 * 16) + 16 * 16 * 9 * 4 * 3
    forward = 2 * 2 * convolutions
    first = 2 * 2 * 8 * 8 * 9 * 3 * 4  # no gradient of the image is asked for
    counted = result["setup"]["TFLOP per iteration"]
    assert counted == pytest.approx((3 * forward - first) / 1e12, rel=1e-6)


def test_a_wrong_loss_is_not_benchmarked():
    class Wrong:
        class fast:
            amp = None

        def step(self, batch, seed):
            return {"loss": 2.0}

    with pytest.raises(AssertionError, match="instead of"):
        train.assert_equal(lambda: 1.0, {"wrong": Wrong()}, {})


def test_the_loop_is_what_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "ITERATIONS", 5)
    result = measured(tmp_path, "loop", CONFIG)
    names = {v["name"]: v["median"] for v in result["variants"]}
    assert names["forward"] > 0
    assert names["backward"] > 0
    assert names["loop"] == pytest.approx(
        names[f"of it, all but {loop.TAKING}"] + names[loop.TAKING], rel=0.2
    )
    assert result["ratios"]["loop / 0.25 ms (below 1)"] == pytest.approx(names["loop"] / 0.25)


@pytest.mark.parametrize(
    ("words", "ratio"),
    [
        ("resize --height 90 --width 121", "python loop, line by line / superres imresize"),
        ("metrics --height 64 --width 80", "SSIM-Y plain / SSIM-Y superres"),
        (
            "folder --images 2 --side 16",
            "ncnn, overlapping, PNG level 4 / ncnn, in turn, PNG level 4",
        ),
    ],
)
def test_on_small_images(words, ratio, tmp_path, capsys):
    assert ratio in measured(tmp_path, *words.split())["ratios"]
    assert ratio in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", ["metrics --height 3", "resize --width 0", "data --images 0", "infer --tile none"]
)
def test_sizes_that_cannot_be(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    assert "a whole number from" in capsys.readouterr().err


def test_infer_measures_time_and_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "installed", lambda: ["torch"])
    size = ["--scale", "2", "--height", "40", "--width", "48", "--tile", "24"]
    result = measured(tmp_path, "infer", *size)
    units = {v["name"]: v["unit"] for v in result["variants"]}
    assert units["x2 eager PyTorch"] == units["x2 superres torch"] == "ms"
    tiles = "x2 peak memory, superres torch tiles"
    assert units[tiles] == "MB"
    assert f"x2 peak memory, eager PyTorch whole / {tiles}" in result["ratios"]


def test_data_on_small_images(tmp_path, monkeypatch):
    pytest.importorskip("skimage")
    for name, value in {"HEIGHT": 516, "WIDTH": 760, "COUNT": 10}.items():
        monkeypatch.setattr(data, name, value)
    result = measured(tmp_path, "data", "--images", "4", "--workers", "1")
    assert {f"{data.PNG} / {data.OURS}", f"{data.OURS} / {data.COPY}"} <= result["ratios"].keys()
    by_name = {row["name"]: row for row in result["variants"]}
    assert by_name[data.OURS]["unit"] == "us/sample"
    assert by_name["1 worker to an empty step"]["median"] > 0


def test_photo_times_the_command_against_a_script(tmp_path, monkeypatch):
    pytest.importorskip("ncnn")

    def once(variants, repeats):
        return [(variant.call(), row(variant.name, [1.0], variant.unit))[1] for variant in variants]

    monkeypatch.setattr(photo, "measure", once)
    result = measured(tmp_path, "photo", "--side", "24")
    assert len(result["variants"]) == 7
    assert result["ratios"]["superres upscale, edsr-s / ncnn script, edsr-s"] == 1
