"""``superres score`` on folders of images."""

from __future__ import annotations

import json

import numpy as np
import pytest

from superres.cli.main import main
from superres.evaluation.protocols import evaluate_pair
from superres.imaging.io import write_image


@pytest.fixture
def folders(tmp_path, make_pair):
    """Three pairs at scale 2, SR with decorated names."""
    sr_dir, hr_dir = tmp_path / "mine", tmp_path / "Set3" / "HR"
    for folder in (sr_dir, hr_dir):
        folder.mkdir(parents=True)
    pairs = {}
    for seed, name in enumerate(("one", "two", "three")):
        sr, hr = make_pair(40, 52, seed=seed)
        pairs[name] = (sr, hr)
        write_image(sr_dir / f"{name}_NET_x2.png", sr)
        write_image(hr_dir / f"{name}.png", hr)
    return sr_dir, hr_dir, pairs


def score(*args: object) -> int:
    return main(["score", *map(str, args)])


def test_scores_tables_and_file(folders, tmp_path, capsys):
    sr_dir, hr_dir, pairs = folders
    names = ["edsr-y", "mmediting-rgb"]
    options = ["--scale", 2, "--protocol", *names, "--out", tmp_path / "out", "--report"]
    assert score(sr_dir, hr_dir, *options) == 0
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["checkpoint"] is None
    assert [r["protocol"] for r in record["results"]] == names
    for result in record["results"]:
        assert (result["set"], result["scale"], result["method"]) == ("Set3", 2, "mine")
        for image in result["images"]:
            expected = evaluate_pair(*pairs[image["name"]], 2, result["protocol"])
            assert {key: image[key] for key in ("psnr", "ssim")} == expected
        assert result["psnr"] == pytest.approx(np.mean([i["psnr"] for i in result["images"]]))
    assert (tmp_path / "out/report.html").read_text().count("data:image/webp") == 3 * 3
    printed = " ".join(capsys.readouterr().out.split())
    for result in record["results"]:
        assert f"{result['psnr']:.2f} / {result['ssim']:.4f}" in printed
        assert f"PSNR / SSIM by {result['protocol']}: " in printed


def test_missing_broken_and_ill_sized_pictures(folders, tmp_path, capsys):
    sr_dir, hr_dir, pairs = folders
    (sr_dir / "one_NET_x2.png").unlink()
    data = (sr_dir / "two_NET_x2.png").read_bytes()
    (sr_dir / "two_NET_x2.png").write_bytes(data[: len(data) // 2])
    write_image(sr_dir / "other_x2.png", pairs["one"][0])
    assert score(sr_dir, hr_dir, "--scale", 2, "--out", tmp_path) == 1
    (result,) = json.loads((tmp_path / "results.json").read_text())["results"]
    images = {image["name"]: image for image in result["images"]}
    assert images["three"]["psnr"] == result["psnr"]
    assert images["one"]["error"] == "it has no SR image"
    assert "two_NET_x2.png" in images["two"]["error"]
    captured = capsys.readouterr()
    assert "not scored: one: it has no SR image" in captured.err
    assert "not used: other_x2.png" in captured.err
    assert "2 of 3 images not scored: two, one" in captured.out
    write_image(sr_dir / "two_NET_x2.png", pairs["two"][0][:20])
    assert score(sr_dir, hr_dir, "--scale", 2) == 1
    assert "expected 52x40 (HR), found 52x20 (SR)" in capsys.readouterr().err
    (sr_dir / "three_NET_x2.png").unlink()
    assert score(sr_dir, hr_dir, "--scale", 2) == 2
    assert "none of the 1 pairs could be scored" in capsys.readouterr().err


def test_depth_and_colour(folders, capsys):
    sr_dir, hr_dir, pairs = folders
    write_image(sr_dir / "one_NET_x2.png", pairs["one"][0].astype(np.uint16) * 257)
    write_image(sr_dir / "two_NET_x2.png", pairs["two"][0][..., 0])
    assert score(sr_dir, hr_dir, "--scale", 2) == 1
    error = capsys.readouterr().err
    assert "one: SR has samples of uint16 and HR of uint8" in error
    assert "two_NET_x2.png is grey and" in error
    # A grey HR, such as Set14's bridge, is compared with the RGB that a network makes of it.
    write_image(hr_dir / "two.png", pairs["two"][1][..., 0])
    write_image(sr_dir / "two_NET_x2.png", pairs["two"][0])
    write_image(sr_dir / "one_NET_x2.png", pairs["one"][0])
    assert score(sr_dir, hr_dir, "--scale", 2) == 0


def test_protocols_as_people_write_them(folders, tmp_path):
    sr_dir, hr_dir, _ = folders
    for option in (["--protocols", "edsr-y,mmediting-rgb"], ["--protocol", "edsr-y", "all"]):
        assert score(sr_dir, hr_dir, "--scale", 2, *option, "--out", tmp_path) == 0
        record = json.loads((tmp_path / "results.json").read_text())
        assert len(record["results"]) == (2 if "," in option[1] else 6)


def test_wrong_words(folders, tmp_path, capsys):
    sr_dir, hr_dir, _ = folders
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    two = ["--scale", 2]
    for words, message in (
        ([sr_dir, hr_dir, "--scale", 0], "--scale must be at least 1"),
        ([sr_dir, hr_dir, *two, "--protocol", "edsry"], "did you mean edsr-y"),
        ([sr_dir, hr_dir, *two, "--metrics", "lpipz"], "did you mean lpips"),
        ([sr_dir, hr_dir, *two, "--report"], "--report needs --out"),
        ([sr_dir, hr_dir, *two, "--out", tmp_path / "file"], "nothing can be written there"),
        ([sr_dir, hr_dir, "--scale", 3], "at scale 3, judged by their names"),
        ([tmp_path / "absent", hr_dir, *two], "absent"),
        ([sr_dir, tmp_path / "empty", *two], "no images in this folder"),
        ([hr_dir.parent, hr_dir, *two], "no images in this folder; give one below it: HR"),
    ):
        assert score(*words) == 2
        assert message in capsys.readouterr().err


@pytest.mark.reference
def test_the_rcan_authors_pictures(reference_dir, capsys):
    data = reference_dir / "data"
    sr = data / "published_sr" / "RCAN_Set5_x2"
    assert score(sr, data / "benchmark" / "Set5" / "HR", "--scale", 2) == 0
    captured = capsys.readouterr()
    assert "38.27 / 0.9614" in captured.out
    assert captured.err == ""
