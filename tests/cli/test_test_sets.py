"""``superres test`` on sets with faults, on grey and on 16-bit images."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from superres.datasets.pack import pack_images
from superres.imaging.io import read_image, write_image
from superres.imaging.resize import imresize

from ..engine.conftest import CONFIG, ROOT, picture
from .conftest import failing


def broken_sets(root):
    """Sets with all faults; 'fine' has none."""
    for name in ("fine", "cut", "tiny", "unpaired/HR", "unpaired/LR_bicubic/X2"):
        (root / name).mkdir(parents=True)
    for seed in (1, 2):
        for name in ("fine", "cut", "tiny", "unpaired/HR"):
            write_image(root / name / f"p{seed}.png", picture(seed))
    path = root / "cut" / "p2.png"
    path.write_bytes(path.read_bytes()[:3000])
    write_image(root / "tiny" / "p3.png", picture(3, 12, 40))
    small = imresize(picture(1), scale=0.5)
    write_image(root / "unpaired/LR_bicubic/X2" / "p1x2.png", small)


def test_one_broken_set_leaves_the_others(tested, tmp_path, capfd):
    broken_sets(tmp_path)
    sets = ["--sets", "cut,tiny", "unpaired", "fine"]
    record = tested("--report", *sets, code=1, more=[f"data_root={tmp_path}"])
    out = tmp_path / "out"
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    assert "p2 of cut" in said.err
    assert "the image is 36x8 after shaving 2 px" in said.err
    assert said.err.count("p2 of cut") == 1  # not for each method again
    assert "p2" in said.out  # the image without a partner
    by_set = {entry["set"]: entry for entry in record["results"]}
    assert [i["psnr"] is None for i in by_set["cut"]["images"]] == [False, True]
    assert "p2.png" in by_set["cut"]["images"][1]["error"]
    assert [i["psnr"] is None for i in by_set["tiny"]["images"]] == [False, False, True]
    assert "11x11" in by_set["tiny"]["images"][2]["error"]
    # What is left of a set is scored; who is missing is named.
    assert [i["psnr"] is None for i in by_set["unpaired"]["images"]] == [False, True]
    assert "no low-quality image in" in by_set["unpaired"]["images"][1]["error"]
    assert by_set["unpaired"]["notes"] == ["1 of 2 images not scored: p2"]
    assert "error" not in by_set["fine"]["images"][0]
    # The table marks what is missing.
    table = (out / "results.md").read_text()
    assert re.findall(r"(?<=\| )\w+ x2", table)[:4] == [
        "cut x2",
        "tiny x2",
        "unpaired x2",
        "fine x2",
    ]
    (row,) = re.findall(r"\| EDSR 1x8 \|(.*)\|", table)
    assert [cell.strip()[-1] == "*" for cell in row.split("|")] == [True, True, True, False]
    page = (out / "report.html").read_text()
    for words in ("p2.png", "11x11", "no low-quality image in"):
        assert re.search(f"not scored: [^<]*{words}", page)


def test_nothing_to_score_is_a_mistake(checkpoint, options, tmp_path, capsys):
    broken_sets(tmp_path)
    folder = tmp_path / "unpaired/LR_bicubic/X2"
    (folder / "p1x2.png").rename(folder / "other.png")
    arguments = ["test", CONFIG, str(checkpoint), "--sets", "unpaired", "--cfg-options", *options]
    said = failing([*arguments, f"data_root={tmp_path}"], capsys)
    assert "no partner for 'p1'" in said
    assert "other" in said
    arguments[4] = "dict(gt=/a/HR, lq=/a/LR)"  # as people write it at first
    assert "--sets dict(gt=/a/HR, lq=/a/LR): cannot be read" in failing(arguments, capsys)


def test_nan_weights(checkpoint, options, tmp_path, capsys):
    state = torch.load(checkpoint, weights_only=True)
    for key in ("state_dict", "ema_state_dict"):
        state[key]["backbone.conv_first.weight"][0, 0, 0, 0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    said = failing(["test", CONFIG, str(tmp_path / "nan.pth"), "--cfg-options", *options], capsys)
    assert "NaN" in said


@pytest.mark.parametrize("kind", ["grey network", "grey set", "16 bit"])
def test_other_pictures(kind, train, tested, world, tmp_path):
    config = {"grey network": "edsr-grey", "grey set": "edsr", "16 bit": "edsr-16bit"}[kind]
    config = str(ROOT / f"configs/edsr/{config}_x2c64b16_g1_300k_div2k.py")
    assert train("max_iters=2", config=config) == 0
    (tmp_path / "mixed").mkdir()
    shown = picture(9)
    if kind == "16 bit":
        shown = shown.astype(np.uint16) * 257 + np.arange(72, dtype=np.uint16)[:, None] % 200
    write_image(tmp_path / "mixed" / "a.png", shown[..., :1] if kind == "grey set" else shown)
    how = {"config": config, "of": tmp_path / "work/best.pth"}
    arguments = ["--report", "--sets", str(tmp_path / "mixed"), "--protocols", "all"]
    # The classical bicubic row is one of 8 bits.
    record = tested(*arguments, **how, code=int(kind == "16 bit"))
    out = tmp_path / "out"
    sr = read_image(out / "images/mixed/x2/a.png", channels="unchanged", dtype="keep")
    assert sr.dtype == (np.uint16 if kind == "16 bit" else np.uint8)
    assert sr.shape == (64, 72, 1 if kind == "grey network" else 3)
    assert "data:image/webp" in (out / "report.html").read_text()
    scored = {e["protocol"]: e["psnr"] for e in record["results"]}
    assert 5 < scored["edsr-y"] < 60
    if kind == "16 bit":
        errors = [i["error"] for e in record["baselines"] for i in e["images"] if "error" in i]
        assert "8-bit" in errors[0]
    else:
        assert all(e["psnr"] is not None for e in [*record["results"], *record["baselines"]])
    if kind == "grey network":
        # Packed images come as they were packed: they are turned to grey, and that is said.
        pack_images(world / "testset", tmp_path / "packed.lmdb")
        sets = ["--sets", str(tmp_path / "packed.lmdb"), "testset"]
        packed, folder = tested(*sets, **how)["results"]
        assert packed["psnr"] == pytest.approx(folder["psnr"], abs=1e-9)
        assert "read as grey" in packed["notes"][0]
        assert "LR made here from HR" in packed["notes"][1]
