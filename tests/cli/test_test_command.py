"""``superres test``: the table, results.json, images, and checkpoints that don't fit."""

from __future__ import annotations

import json
import signal
import sys

import numpy as np
import pytest

from superres.cli.main import main
from superres.evaluation import extra_metrics
from superres.evaluation.protocols import PROTOCOLS, classical_bicubic, evaluate_pair
from superres.imaging.io import read_image, write_image

from ..engine.conftest import CONFIG, ROOT, finish, picture, start
from .conftest import failing


def test_results_and_pictures(tested, checkpoint, world, tmp_path, capsys):
    record = tested("--save-images", "--report")
    printed = capsys.readouterr().out
    assert "Bicubic" in printed
    assert "edsr-y: " in printed
    assert record["schema"] == 1
    assert record["checkpoint"]["path"] == str(checkpoint)
    assert len(record["checkpoint"]["sha256"]) == 64
    assert record["selection"]["role"] == "validation"
    by_set = {entry["set"]: entry for entry in record["results"]}
    assert set(by_set) == {"valid", "testset"}
    entry = by_set["testset"]
    assert (entry["scale"], entry["protocol"]) == (2, "edsr-y")
    # The saved images score what the table says.
    out = tmp_path / "out"
    for image in entry["images"]:
        sr = read_image(out / "images" / "testset" / "x2" / f"{image['name']}.png")
        hr = read_image(world / "testset" / f"{image['name']}.png")
        scores = evaluate_pair(sr, hr, 2, "edsr-y")
        for name in ("psnr", "ssim"):
            assert image[name] == pytest.approx(scores[name], abs=1e-9)
    assert entry["psnr"] == pytest.approx(np.mean([i["psnr"] for i in entry["images"]]))
    assert {b["method"] for b in record["baselines"]} == {"Bicubic"}
    assert "published" not in entry
    for suffix, psnr in (("md", ".2f"), ("tex", ".2f"), ("csv", "")):
        assert f"{entry['psnr']:{psnr}}" in (out / f"results.{suffix}").read_text()
    page = (out / "report.html").read_text()
    assert page.count("data:image/webp") == 4 * 5
    assert "PSNR in dB over iterations" in page  # curves of the work dir that it lies in
    # What the record tells of the machine, the network and the sets.
    assert record["device"] == "cpu"
    assert {"torch", "superres", "numpy", "python"} <= set(record["versions"])
    (cost,) = record["costs"]
    assert cost["parameters"] == record["parameters"] == 4531
    # 3x3 convolutions of the network: 3 to 8, two 8 to 8, 8 to 8, 8 to 32 at x1, 8 to 3 at x2.
    per_pixel = 9 * (3 * 8 + 3 * 8 * 8 + 8 * 32) + 4 * 9 * 8 * 3
    assert cost["flops"] == 2 * per_pixel * 360 * 640
    for line in record["runtime"]:
        assert 0 < line["seconds"]["median"] <= line["seconds"]["total"]
        images = by_set[line["set"]]["images"]
        assert line["memory_mb"] == max(image["memory_mb"] for image in images)
        # At least the input, eight feature maps and the output, in float32.
        assert line["memory_mb"] > 4 * (3 + 8 + 4 * 3) * 32 * 36 / 2**20
    for line in record["sets"]:
        fingerprint = line["lq_fingerprint"]
        assert fingerprint["made_here"]
        assert fingerprint["convention"] == ["matlab"]
        assert len(fingerprint["sha256"]) == 64


def test_all_protocols_from_one_run(tested, world, capsys):
    record = tested("--sets", "testset", "--protocols", "all")
    assert [e["protocol"] for e in record["results"]] == list(PROTOCOLS)
    assert len({e["psnr"] for e in record["results"]}) == 5  # the two of MMEditing are equal
    bicubic = {e["protocol"]: e for e in record["baselines"]}
    for image in bicubic["classical-y"]["images"]:
        hr = read_image(world / "testset" / f"{image['name']}.png")
        expected = evaluate_pair(classical_bicubic(hr, 2), hr, 2, "classical-y")
        assert image["psnr"] == pytest.approx(expected["psnr"], abs=1e-12)
    # Each image once for all protocols.
    seconds = [[i["seconds"] for i in e["images"]] for e in record["results"]]
    assert all(row == seconds[0] for row in seconds)
    assert capsys.readouterr().out.count("PSNR / SSIM by ") == 6


def test_hr_that_is_no_multiple_of_the_scale(tested, tmp_path):
    (tmp_path / "odd").mkdir()
    write_image(tmp_path / "odd" / "a.png", picture(5, 61, 71))
    arguments = ["--sets", str(tmp_path / "odd"), "--protocols", "edsr-y,super-image"]
    cropped, resized = tested(*arguments)["results"]
    made = "LR made here from HR (MATLAB's bicubic, mirrored border)"
    assert cropped["notes"] == [made]
    assert resized["notes"] == ["HR was resized, which raises the score", made]


def test_tiles_and_self_ensemble(tested, capsys):
    ways = {"whole": [], "tiles": ["--tile", "20"], "chop": ["--tile", "edsr-chop"]}
    ways["plus"] = ["--self-ensemble"]
    records = {name: tested("--sets", "testset", *more) for name, more in ways.items()}
    entries = {name: record["results"][0] for name, record in records.items()}
    assert entries["tiles"]["psnr"] == pytest.approx(entries["whole"]["psnr"], abs=1e-4)
    assert entries["tiles"]["images"][0]["inference"]["mode"] == "tiles"
    assert entries["tiles"]["images"][0]["inference"]["tile"] == 20
    assert "inference" not in entries["whole"]["images"][0]
    said = "the published chop: differs slightly from the whole image"
    assert said in entries["chop"]["notes"]
    assert "the published chop" in capsys.readouterr().out
    assert records["plus"]["inference"] == {"self_ensemble": True}
    assert entries["plus"]["method"] == "EDSR 1x8+"
    assert entries["plus"]["psnr"] != entries["whole"]["psnr"]


def test_two_ranks_give_the_same(checkpoint, options, tmp_path):
    records = []
    for ranks in (1, 2):
        out = tmp_path / f"out{ranks}"
        command = ["bash", str(ROOT / "tools/dist_test.sh"), CONFIG, str(checkpoint), str(ranks)]
        command += ["--out", str(out), "--report", "--cfg-options", *options]
        finish(start(command, PYTHON=sys.executable))
        records.append(json.loads((out / "results.json").read_text()))
        assert (out / "report.html").read_text().count("data:image/webp") == 4 * 5

    def timeless(value):
        if isinstance(value, dict):
            return {k: timeless(v) for k, v in value.items() if k != "seconds"}  # the timings
        return [timeless(v) for v in value] if isinstance(value, list) else value

    assert timeless(records[0]) == timeless(records[1])


def test_what_does_not_fit(checkpoint, options, tmp_path, capsys):
    cut = tmp_path / "cut.pth"
    cut.write_bytes(checkpoint.read_bytes()[:2000])
    for words, file, arguments, more in (
        ("channels is 8, the config's 16", checkpoint, [], ["model.backbone.channels=16"]),
        ("scale", checkpoint, [], ["scale=3"]),
        ("--out", checkpoint, ["--save-images"], []),
        ("nowhere", checkpoint, ["--sets", "nowhere"], []),
        ("'huge'", checkpoint, ["--tile", "huge"], []),
        ("edsr-y", checkpoint, ["--protocols", "edsr-yy"], []),
        ("none.pth", tmp_path / "none.pth", [], []),
        ("cut.pth", cut, [], []),
    ):
        command = ["test", CONFIG, str(file), *arguments, "--cfg-options", *options, *more]
        assert words in failing(command, capsys)


def test_choosing_by_a_test_set_is_recorded(train, tested, tmp_path, capsys):
    assert train("max_iters=6", "val_sets=[]") == 0
    assert f"next:\n  superres test {tmp_path}/work/config.py" in capsys.readouterr().out
    record = tested(of=tmp_path / "work/best.pth")
    said = capsys.readouterr().out
    assert "that column is biased" in said
    assert f"next:\n  superres table {tmp_path}/out" in said
    assert record["selection"]["role"] == "test"
    assert record["selection"]["set"] == "testset"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_test_leaves_whole_images(
    checkpoint, options, tmp_path, monkeypatch, number, code
):
    out, original, calls = tmp_path / "out", extra_metrics.compared, []

    def interrupt(*args, **kwargs):
        calls.append(1)
        if len(calls) == 6:  # the second image of the network, after four of bicubic's
            signal.raise_signal(number)
        return original(*args, **kwargs)

    monkeypatch.setattr(extra_metrics, "compared", interrupt)
    arguments = ["test", CONFIG, str(checkpoint), "--out", str(out), "--save-images"]
    assert main([*arguments, "--cfg-options", *options]) == code
    assert not (out / "results.json").exists()
    assert [read_image(file).shape for file in out.rglob("*.png")] == [(64, 72, 3)] * 2
