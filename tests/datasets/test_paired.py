"""Pairs: what belongs together, what is made on the fly, and what cannot be used."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from superres.datasets.lazy import reduced
from superres.datasets.locate import locate
from superres.datasets.paired import PairedDataset
from superres.datasets.pairing import TEMPLATES
from superres.datasets.sampler import SampleKey
from superres.datasets.storage import folder
from superres.errors import UserError
from superres.imaging.io import write_image
from superres.imaging.resize import imresize

from .conftest import pictures

CROP = [{"type": "PairedRandomCrop", "lq_patch_size": 12}, {"type": "PackInputs"}]


@pytest.mark.parametrize("kind", ["make_folders", "make_packs"])
def test_a_sample_is_a_function_of_seed_and_draw(kind: str, request: pytest.FixtureRequest):
    root = request.getfixturevalue(kind)()
    whole = PairedDataset(str(root), scale=4)[SampleKey(3, 73)]
    facts = [whole[key] for key in ("name", "index", "draw", "scale")]
    assert facts == ["003", 3, 73, 4]
    assert whole["gt_path"].endswith("/003")
    assert "X4" in whole["lq_path"]
    assert kind == "make_folders" or not whole["gt"].flags.writeable  # the file itself
    dataset, again = (PairedDataset(str(root), scale=4, pipeline=CROP, seed=8) for _ in range(2))
    keys = [SampleKey(d % 5, d) for d in range(40)]
    first = [dataset[key] for key in keys]
    second = [again[key] for key in reversed(keys)][::-1]
    for a, b in zip(first, second):
        assert a["meta"] == b["meta"]
        np.testing.assert_array_equal(a["inputs"], b["inputs"])


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("border", ["reflect", "replicate"])
def test_any_part_of_a_lazy_bicubic_equals_that_of_the_whole(scale: int, border: str):
    gt = pictures(1, ((11 * scale, 13 * scale),))[0]
    whole = imresize(gt, 1 / scale, border=border)
    lazy = reduced(gt, scale, border)
    assert lazy.shape == whole.shape
    for top in range(11):
        for left in range(13):
            for size in (1, 4, 11):
                part = np.s_[top : top + size, left : left + size]
                np.testing.assert_array_equal(lazy[part], whole[part])


@pytest.mark.parametrize("name", TEMPLATES)
def test_partners_are_named_as_in_the_sets_in_circulation(name, make_folders):
    root = make_folders()
    for file in sorted((root / "LR_bicubic" / "X4").iterdir()):
        file.rename(file.with_name(f"{name.format(n=file.stem, s=4)}.png"))
    dataset = PairedDataset(str(root), scale=4)
    for i, gt in enumerate(pictures()):
        np.testing.assert_array_equal(dataset[i]["lq"], imresize(gt, 1 / 4))


def test_a_picture_smaller_than_the_scale(make_folders):
    root = make_folders([np.zeros((3, 40, 3), np.uint8)], lq=False)
    with pytest.raises(UserError, match="000 is 40x3 pixels, too small for scale 4"):
        PairedDataset(str(root), scale=4)


def test_the_folder_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "here").mkdir()
    write_image(tmp_path / "here" / "a.png", np.zeros((8, 8, 3), np.uint8))
    monkeypatch.chdir(tmp_path / "here")
    assert locate(".", ".", 2).name == "here"


def test_arguments():
    with pytest.raises(UserError, match="must be auto, bicubic, none or"):
        PairedDataset("x", make_lq="bilinear")
    with pytest.raises(UserError, match="y is not read"):
        PairedDataset({"gt": "x", "lq": "y"}, make_lq="bicubic")
    with pytest.raises(UserError, match="superres data prepare div2k"):
        PairedDataset("DIV2K_train", data_root="nowhere")


def test_a_hundred_thousand_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Listed and paired with a look at each header and no more: counted, since time is not."""
    for side in ("HR", "LR"):
        (tmp_path / side).mkdir()
        for i in range(50_000):
            os.mknod(f"{tmp_path}/{side}/{i}.png")
    read, stat = [], mock.Mock(wraps=os.stat)

    def header(file: Path) -> SimpleNamespace:
        read.append(file)
        side = 8 if file.parent.name == "HR" else 4
        plain = {"bits": 8, "orientation": 1, "has_icc": False, "has_alpha": False, "notes": ()}
        return SimpleNamespace(height=side, width=side, channels=3, **plain)

    monkeypatch.setattr(folder, "image_header", header)
    monkeypatch.setattr(os, "stat", stat)
    dataset = PairedDataset(str(tmp_path), scale=2, pipeline=CROP)
    assert len(dataset) == len(dataset.too_small()) == 50_000
    assert dataset.partners == list(range(50_000))
    assert len(read) == len(set(read)) == 100_000
    assert stat.call_count < 1000
