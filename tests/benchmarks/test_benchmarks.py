"""Each benchmark runs on little work, and states what it promises."""

from __future__ import annotations

import itertools
import json

import pytest

from benchmark import main
from benchmarks import _sub_images as others
from benchmarks import data, loop, photo, train
from benchmarks.harness import row
from superres.errors import UserError
from superres.inference import backends

from .test_harness import SCHEMA

SMALL = ["--cfg-options", "model.backbone.channels=4", "model.backbone.num_blocks=1",
         "lq_patch_size=8", "global_batch_size=2", "num_workers=0"]  # fmt: skip
CONFIG = "edsr_x2c64b16_g1_300k_div2k"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("train") / "benchmark-train.json"
    assert main(["train", CONFIG, "--json", str(path), *SMALL]) == 0
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
    # 2 operations a product, 3 passes: EDSR of one block of 4 channels, x2, by hand.
    convolutions = 8 * 8 * 9 * (3 * 4 + 3 * 4 * 4 + 4 * 16) + 16 * 16 * 9 * 4 * 3
    forward = 2 * 2 * convolutions
    first = 2 * 2 * 8 * 8 * 9 * 3 * 4  # no gradient of the picture is asked for
    told = result["setup"]["TFLOP per iteration"]
    assert told == pytest.approx((3 * forward - first) / 1e12, rel=1e-6)


def test_a_wrong_loss_is_not_benchmarked(monkeypatch):
    class Wrong:
        class fast:
            amp = None

        def step(self, batch, seed):
            return {"loss": 2.0}

    with pytest.raises(AssertionError, match="instead of"):
        train._assert_equal(lambda: 1.0, {"wrong": Wrong()}, {})


def test_the_loop_is_measured_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "ITERATIONS", 5)
    path = tmp_path / "loop.json"
    arguments = ["loop", CONFIG, "--repeats", "7", "--json", str(path)]
    assert main(arguments) == 0
    result = json.loads(path.read_text())
    names = {v["name"]: v["median"] for v in result["variants"]}
    for place in ("1", "300,000"):
        assert names[f"forward, from iteration {place}"] > 0
        loop_time = names[f"loop, from iteration {place}"]
        assert result["ratios"][f"loop from iteration {place} / 0.25 ms (below 1)"] == (
            pytest.approx(loop_time / 0.25)
        )


def test_resize_writes_the_schema(tmp_path, capsys):
    file = tmp_path / "out.json"
    assert main(["resize", "--json", str(file), "--height", "90", "--width", "121"]) == 0
    result = json.loads(file.read_text(encoding="utf-8"))
    assert set(result) == SCHEMA
    assert (result["schema"], result["benchmark"]) == (1, "resize")
    for variant in result["variants"]:
        assert set(variant) == {"name", "median", "unit", "repeats"}
        assert variant["repeats"] >= 7
        assert variant["median"] > 0
    medians = {v["name"]: v["median"] for v in result["variants"]}
    expected = medians["python loop, sample by sample"] / medians["superres imresize"]
    assert result["ratios"]["sample loop / superres"] == pytest.approx(expected)
    assert "numpy" in result["versions"]
    assert "superres imresize" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["metrics", "resize"])
def test_an_image_that_is_too_small(name):
    with pytest.raises(UserError, match=f"benchmark {name}"):
        main([name, "--height", "3"])


def test_metrics_asserts_that_both_formulas_agree(capsys):
    assert main(["metrics", "--height", "64", "--width", "80"]) == 0
    assert "SSIM-Y plain / superres" in capsys.readouterr().out


def test_infer_measures_time_and_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "installed", lambda: ["torch"])
    file = tmp_path / "out.json"
    size = ["--scale", "2", "--height", "40", "--width", "48", "--tile", "24", "--threads", "1"]
    assert main(["infer", "--json", str(file), *size]) == 0
    result = json.loads(file.read_text(encoding="utf-8"))
    units = {v["name"]: v["unit"] for v in result["variants"]}
    assert units["x2 eager PyTorch"] == units["x2 superres torch"] == "ms"
    assert units["x2 superres torch, tiles"] == "MB"
    assert "x2 peak memory, eager PyTorch whole / superres torch tiles" in result["ratios"]


@pytest.fixture
def few_images(monkeypatch):
    for name, value in {"HEIGHT": 516, "WIDTH": 760, "AS_PNG": 3, "COUNT": 10}.items():
        monkeypatch.setattr(data, name, value)


def test_data_on_small_images(few_images, tmp_path):
    pytest.importorskip("skimage")
    file = tmp_path / "out.json"
    few = ["--pictures", "4", "--workers", "1", "--temp", str(tmp_path)]
    assert main(["data", "--json", str(file), *few]) == 0
    result = json.loads(file.read_text(encoding="utf-8"))
    by_name = {row["name"]: row for row in result["variants"]}
    assert [by_name[name]["unit"] for name in data.NAMES] == ["us/sample"] * 3
    sub, ours, bound = (by_name[name]["median"] for name in data.NAMES)
    assert ours > bound
    assert sub > 5 * ours
    ratio = result["ratios"]["superres / crop copy only (at most 2.5)"]
    assert ratio == pytest.approx(ours / bound)
    assert by_name["1 worker to an empty step"]["median"] > 5
    assert list(tmp_path.iterdir()) == [file]  # the packs are gone


def test_a_baseline_that_disagrees_is_noticed(few_images, monkeypatch, tmp_path):
    pytest.importorskip("skimage")
    plain = others.augment
    monkeypatch.setattr(others, "augment", lambda patch, view: plain(patch, view ^ 1))
    with pytest.raises(AssertionError, match="sub-images and superres disagree"):
        main(["data", "--pictures", "3", "--workers", "1", "--temp", str(tmp_path)])


@pytest.mark.parametrize("length", [480, 700, 720, 1356, 2040])
def test_sub_images_cover_the_image(length):
    starts = others.corners(length, 480, 240)
    assert starts[0] == 0
    assert starts[-1] == length - 480
    assert all(0 < b - a <= 240 for a, b in itertools.pairwise(starts))


def test_images_cost_a_decoder_what_photographs_do():
    pytest.importorskip("skimage")
    for image in others.photographs(2, 300, 400):
        assert image.shape == (300, 400, 3)
        size = len(others.encode(image)) / image.size
        assert 0.35 < size < 0.85  # DIV2K's are about 0.55, noise is 1


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--pictures", "2"], "at least 8 --pictures"), (["--temp", "nowhere"], "is no folder")],
)
def test_mistakes(words, told):
    with pytest.raises(UserError, match=told):
        main(["data", *words])


def test_photo_times_the_command_against_a_script(tmp_path, monkeypatch):
    pytest.importorskip("ncnn")

    def once(variants, repeats):
        return [(variant.call(), row(variant.name, [1.0], variant.unit))[1] for variant in variants]

    monkeypatch.setattr(photo, "measure", once)
    file = tmp_path / "out.json"
    assert main(["photo", "--json", str(file), "--side", "24"]) == 0
    result = json.loads(file.read_text(encoding="utf-8"))
    assert len(result["variants"]) == 7
    assert result["ratios"]["superres upscale, edsr-s / ncnn script, edsr-s"] == 1
