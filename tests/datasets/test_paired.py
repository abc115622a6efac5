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
def test_pairs(kind: str, request: pytest.FixtureRequest):
    root = request.getfixturevalue(kind)()
    dataset = PairedDataset(str(root), scale=4, seed=5)
    assert len(dataset) == 5
    for i, gt in enumerate(pictures()):
        sample = dataset[SampleKey(i, 70 + i)]
        np.testing.assert_array_equal(sample["gt"], gt)
        np.testing.assert_array_equal(sample["lq"], imresize(gt, 1 / 4))
        assert sample["name"] == f"{i:03d}"
        assert (sample["index"], sample["draw"], sample["scale"]) == (i, 70 + i, 4)
        assert sample["gt_path"].endswith(f"/{i:03d}")
        assert str(root) in sample["lq_path"]
        assert "X4" in sample["lq_path"]


@pytest.mark.parametrize("kind", ["make_folders", "make_packs"])
def test_a_sample_is_a_function_of_seed_and_draw(kind: str, request: pytest.FixtureRequest):
    root = request.getfixturevalue(kind)()
    dataset, again = (PairedDataset(str(root), scale=4, pipeline=CROP, seed=8) for _ in range(2))
    keys = [SampleKey(d % 5, d) for d in range(40)]
    first = [dataset[key] for key in keys]
    np.random.default_rng().random()
    second = [again[key] for key in reversed(keys)][::-1]
    for a, b in zip(first, second):
        assert a["meta"] == b["meta"]
        np.testing.assert_array_equal(a["inputs"], b["inputs"])
    other = PairedDataset(str(root), scale=4, pipeline=CROP, seed=9)
    assert [other[k]["meta"]["top"] for k in keys] != [a["meta"]["top"] for a in first]


def test_samples_do_not_share_what_a_transform_writes(make_packs):
    dataset = PairedDataset(str(make_packs()), scale=4, pipeline=[lambda s: s])
    first = dataset[SampleKey(0, 0)]
    first["gt"] = first["name"] = None
    first["top"] = 7
    second = dataset[SampleKey(0, 1)]
    assert second["name"] == "000"
    assert second["gt"] is not None
    assert "top" not in second
    assert not second["gt"].flags.writeable  # the file itself: nobody may write to it


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
