"""`superres data` as a person calls it: exit codes, what is printed, JSON, files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superres.cli.main import main
from superres.datasets.loader import collate
from superres.datasets.paired import PairedDataset
from superres.datasets.prepare.five_crop import CROPS, crop_corner, five_crop_pair
from superres.errors import UserError
from superres.imaging.io import read_image, write_image
from tests.datasets.test_loader import PIPELINE
from tests.datasets.trees import lq_of, paired, picture


def data(*arguments: object) -> int:
    return main(["data", *map(str, arguments)])


@pytest.fixture
def tree(tmp_path) -> Path:
    return paired(tmp_path / "toy", 3, (2,), height=48, width=56)


def test_prepare_reports_and_repeats(tree, tmp_path, capsys):
    command = ["prepare", "folder", "--root", tree, "--out", tmp_path / "d", "--scales", "x2,3x"]
    assert data(*command, "--json", tmp_path / "r.json") == 0
    out = capsys.readouterr()
    assert "verified: no errors" in out.out
    assert "3 exact (matlab)" in out.out
    assert "toy: HR.lmdb: 3/3" in out.err, "plain lines where there is not a terminal"
    record = json.loads((tmp_path / "r.json").read_text())
    (one,) = record["sets"]
    assert [pack["added"] for pack in one["packs"]] == [3, 3, 3]
    assert record["verification"]["ok"]
    assert data(*command, "--no-verify", "--json", tmp_path / "r.json") == 0
    assert "verification" not in json.loads((tmp_path / "r.json").read_text())


def test_exit_codes(tree, tmp_path, capsys):
    assert data("prepare", "folder", "--root", tmp_path / "none", "--out", tmp_path / "d") == 2
    assert "no such folder" in capsys.readouterr().err
    (tree / "HR" / "p9.png").write_bytes(b"junk")
    assert data("verify", tree, "--scale", 2, "--json", tmp_path / "v.json") == 1
    out = capsys.readouterr().out
    assert "p9.png" in out
    assert "errors" in out.splitlines()[-1]
    record = json.loads((tmp_path / "v.json").read_text())
    assert {p["file"] for p in record["sets"][0]["problems"]} == {str(tree / "HR" / "p9.png")}
    assert data("verify", tmp_path / "none", "--scale", 2) == 2
    singles = tmp_path / "singles"
    singles.mkdir()
    write_image(singles / "a.png", picture(1))
    (singles / "b.png").write_bytes(b"junk")
    assert data("prepare", "folder", "--root", singles, "--out", tmp_path / "e") == 1
    assert "left out: b:" in capsys.readouterr().err


def test_fingerprint_prints_and_writes(tree, tmp_path, capsys):
    side = tree / "LR_bicubic" / "X2"
    assert data("fingerprint", side, tree / "HR", "--scale", 2, "--json", tmp_path / "f.json") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "made by: matlab"
    record = json.loads((tmp_path / "f.json").read_text())
    assert record["verdict"] == ["matlab"]
    assert record["conventions"][0]["differing"] == 0
    changed = read_image(side / "p1x2.png").copy()
    changed[3, 3] = 255 - changed[3, 3]
    write_image(side / "p1x2.png", changed)
    assert data("fingerprint", side, tree / "HR", "--scale", "2x") == 0
    assert "a mixture" in capsys.readouterr().out


def test_packs_there_and_back(tree, tmp_path, capsys):
    hr, packed = tree / "HR", tmp_path / "HR.lmdb"
    assert data("pack", hr, packed, "--json", tmp_path / "p.json") == 0
    assert json.loads((tmp_path / "p.json").read_text())["count"] == 3
    capsys.readouterr()
    assert data("list", packed, "--json", tmp_path / "l.json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[:3] for line in lines] == [
        [f"p{i}", "56x48x3", "8 bit"] for i in range(3)
    ]
    assert len(json.loads((tmp_path / "l.json").read_text())["pictures"]) == 3
    assert data("unpack", packed, tmp_path / "one", "p1") == 0
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["p1.png"]
    np.testing.assert_array_equal(read_image(tmp_path / "one" / "p1.png"), picture(1, 48, 56))


@pytest.mark.parametrize("size", [(41, 57), (40, 56), (43, 50)])
def test_five_crops_are_those_of_torchvision_and_pil(size):
    """By the formula of torchvision's FiveCrop, with PIL's own crop and resize."""
    image = picture(3, *size)
    whole = Image.fromarray(image)
    width, height = whole.size
    w, h = width // 2, height // 2
    top, left = round((height - h) / 2.0), round((width - w) / 2.0)
    boxes = {
        "tl": (0, 0, w, h),
        "tr": (width - w, 0, width, h),
        "bl": (0, height - h, w, height),
        "br": (width - w, height - h, width, height),
        "center": (left, top, left + w, top + h),
    }
    assert set(CROPS) == set(boxes)
    for crop in CROPS:
        y, x, *_ = crop_corner(*size, crop)
        assert (x, y) == boxes[crop][:2]
        hr = whole.crop(boxes[crop])
        hr = hr.resize((w // 3 * 3, h // 3 * 3), Image.Resampling.BICUBIC)
        lr = hr.resize((w // 3, h // 3), Image.Resampling.BICUBIC)
        lq, gt = five_crop_pair(image, crop, 3)
        np.testing.assert_array_equal(gt, np.asarray(hr))
        np.testing.assert_array_equal(lq, np.asarray(lr))


def test_five_crop_makes_a_set_that_verifies(tree, tmp_path, capsys):
    command = ["five-crop", tree, "--scale", 3, "--out", tmp_path / "d"]
    assert data(*command) == 0
    dataset = PairedDataset("toy_five_crop_X3", data_root=str(tmp_path / "d"), scale=3)
    assert len(dataset) == 15
    lq, gt = five_crop_pair(picture(1, 48, 56), "center", 3)
    i = dataset.gt.index("p1_center")
    for ours, expected in zip(dataset.load(i), (lq, gt)):
        np.testing.assert_array_equal(ours, expected)
    assert data("verify", tmp_path / "d", "--scale", 3) == 0
    assert "15 exact (pil-bicubic)" in capsys.readouterr().out
    assert data(*command) == 0
    assert ": 15 images, 0 new" in capsys.readouterr().out


def test_browse_shows_what_training_sees(tree, tmp_path, capsys):
    from superres.datasets.browse import first_pairs
    from superres.datasets.sampler import IterationSampler

    write_image(tree / "HR/a.png", picture(7, 16, 56))  # too small: left out, as in training
    write_image(tree / "LR_bicubic/X2/ax2.png", lq_of(picture(7, 16, 56), 2))
    options = [f"data_root={tree.parent}", "train_set=toy", "scale=2", "lq_patch_size=12"]
    command = ["browse", "edsr_x2c64b16_g1_300k_div2k", "--out", tmp_path / "b.png"]
    assert data(*command, "--count", 5, "--iteration", 7, "--cfg-options", *options) == 0
    assert "5 samples from iteration 7 on, seed 0" in capsys.readouterr().out
    sheet = read_image(tmp_path / "b.png")
    pipeline = [dict(step) for step in PIPELINE]
    dataset = PairedDataset("toy", str(tree.parent), 2, pipeline, seed=0)
    keys = IterationSampler(4, 16, 0, skip=dataset.too_small()).keys(7)[:5]
    batch = collate([dataset[key] for key in keys])
    first = first_pairs(dataset, 16, 0, 7, 5)
    shown = set(map(tuple, sheet.reshape(-1, 3).tolist()))
    for i, pair in enumerate(first):
        for side, key in (("lq", "inputs"), ("gt", "gt")):  # each pixel is drawn, as it is
            np.testing.assert_array_equal(pair[side], batch[key][i].numpy())
            assert set(map(tuple, pair[side].reshape(-1, 3).tolist())) <= shown

    pipeline[0]["lq_patch_size"] = 40
    with pytest.raises(UserError, match="all its images are smaller than the patch"):
        first_pairs(PairedDataset("toy", str(tree.parent), 2, pipeline), 4, 0, 1, 4)
    options[1] = "train_set=absent"
    assert data(*command, "--cfg-options", *options) == 2
    assert "absent" in capsys.readouterr().err
