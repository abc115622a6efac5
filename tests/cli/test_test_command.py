"""``superres test``: the table, results.json, pictures, and checkpoints that don't fit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from superres.cli.main import main
from superres.evaluation.protocols import evaluate_pair
from superres.imaging.io import read_image

from ..engine.conftest import CONFIG, ROOT, finish, options, start, train, world  # noqa: F401


@pytest.fixture
def checkpoint(train, tmp_path):  # noqa: F811
    assert train("max_iters=6") == 0
    return tmp_path / "work" / "best.pth"


def test_results_and_pictures(checkpoint, options, world, tmp_path, capsys):  # noqa: F811
    capsys.readouterr()
    out = tmp_path / "out"
    arguments = ["test", CONFIG, str(checkpoint), "--out", str(out), "--save-images"]
    assert main([*arguments, "--cfg-options", *options]) == 0
    printed = capsys.readouterr().out
    assert "Bicubic" in printed
    assert "edsr-y: " in printed
    record = json.loads((out / "results.json").read_text())
    assert record["schema"] == 1
    assert record["checkpoint"]["path"] == str(checkpoint)
    assert len(record["checkpoint"]["sha256"]) == 64
    assert record["selection"]["role"] == "validation"
    by_set = {entry["set"]: entry for entry in record["results"]}
    assert set(by_set) == {"valid", "testset"}
    entry = by_set["testset"]
    assert (entry["scale"], entry["protocol"]) == (2, "edsr-y")
    # The saved pictures score what the table says.
    for image in entry["images"]:
        sr = read_image(out / "images" / "testset" / "x2" / f"{image['name']}.png")
        hr = read_image(world / "testset" / f"{image['name']}.png")
        scores = evaluate_pair(sr, hr, 2, "edsr-y")
        assert image["psnr"] == pytest.approx(scores["psnr"], abs=1e-9)
        assert image["ssim"] == pytest.approx(scores["ssim"], abs=1e-9)
    assert entry["psnr"] == pytest.approx(np.mean([i["psnr"] for i in entry["images"]]))
    assert {b["method"] for b in record["baselines"]} == {"Bicubic"}


def test_two_ranks_give_the_same(checkpoint, options, tmp_path):  # noqa: F811
    records = []
    for ranks in (1, 2):
        out = tmp_path / f"out{ranks}"
        arguments = ["bash", str(ROOT / "tools/dist_test.sh"), CONFIG, str(checkpoint), str(ranks)]
        finish(start([*arguments, "--out", str(out), "--cfg-options", *options]))
        records.append(json.loads((out / "results.json").read_text()))

    def timeless(value):
        if isinstance(value, dict):
            return {k: timeless(v) for k, v in value.items() if k != "seconds"}
        return [timeless(v) for v in value] if isinstance(value, list) else value

    assert timeless(records[0]) == timeless(records[1])


def failing(arguments, capsys):
    capsys.readouterr()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_what_does_not_fit(checkpoint, options, tmp_path, capsys):  # noqa: F811
    base = ["test", CONFIG, str(checkpoint)]
    tail = ["--cfg-options", *options]
    assert "channels is 8, the config's 16" in failing(
        [*base, *tail, "model.backbone.channels=16"], capsys
    )
    assert "scale" in failing([*base, *tail, "scale=3"], capsys)
    assert "--out" in failing([*base, "--save-images", *tail], capsys)
    assert "nowhere" in failing([*base, "--sets", "nowhere", *tail], capsys)
    assert "edsr-y" in failing([*base, "--protocols", "edsr-yy", *tail], capsys)
    assert "none.pth" in failing(["test", CONFIG, str(tmp_path / "none.pth"), *tail], capsys)
    cut = tmp_path / "cut.pth"
    cut.write_bytes(checkpoint.read_bytes()[:2000])
    assert "cut.pth" in failing(["test", CONFIG, str(cut), *tail], capsys)


def test_choosing_by_a_test_set_is_recorded(train, options, tmp_path, capsys):  # noqa: F811
    assert train("max_iters=6", "val_sets=[]") == 0
    out = tmp_path / "out"
    arguments = ["test", CONFIG, str(tmp_path / "work/best.pth"), "--out", str(out)]
    assert main([*arguments, "--cfg-options", *options]) == 0
    assert "optimistic" in capsys.readouterr().out
    record = json.loads((out / "results.json").read_text())
    assert record["selection"]["role"] == "test"
    assert record["selection"]["set"] == "testset"
