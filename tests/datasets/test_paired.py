"""Pairs: what belongs together, what is made on the fly, and what cannot be used."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from superres.datasets.lazy import reduced
from superres.datasets.locate import locate
from superres.datasets.paired import PairedDataset
from superres.datasets.pairing import TEMPLATES
from superres.datasets.sampler import SampleKey
from superres.errors import UserError
from superres.imaging.io import write_image
from superres.imaging.resize import imresize, modcrop

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


def test_packed_pictures_survive_pickling_and_forks(make_packs):
    dataset = PairedDataset(str(make_packs()), scale=4, pipeline=CROP)
    expected = dataset[SampleKey(1, 3)]["gt"].copy()
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy[SampleKey(1, 3)]["gt"], expected)
    pid = os.fork()
    if not pid:
        os._exit(0 if (dataset[SampleKey(1, 3)]["gt"] == expected).all() else 1)
    assert os.waitpid(pid, 0)[1] == 0


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


def test_crops_of_lq_made_on_the_fly_are_those_of_the_whole(make_packs):
    images = pictures(2, ((97, 121), (80, 103)))
    pipeline = [{"type": "PairedRandomCrop", "lq_patch_size": 14}, {"type": "PackInputs"}]
    dataset = PairedDataset(str(make_packs(images, 3, lq=False)), scale=3, pipeline=pipeline)
    wholes = [imresize(modcrop(gt, 3), 1 / 3) for gt in images]
    for draw in range(40):
        made, gt = dataset[SampleKey(draw % 2, draw)], images[draw % 2]
        top, left = made["meta"]["top"], made["meta"]["left"]
        low = wholes[draw % 2][top : top + 14, left : left + 14]
        np.testing.assert_array_equal(made["inputs"], low)
        high = gt[3 * top : 3 * top + 42, 3 * left : 3 * left + 42]
        np.testing.assert_array_equal(made["gt"], high)


def test_what_is_asked_for_in_another_form(make_folders):
    root = str(make_folders())
    assert {"lq", "lq_path"}.isdisjoint(PairedDataset(root, scale=4, make_lq="none")[0])
    made = PairedDataset(root, scale=4, channels="grey", pipeline=CROP)[0]
    assert (made["gt"].shape, made["inputs"].shape) == ((48, 48, 1), (12, 12, 1))


def test_bicubic_is_made_although_lq_is_there(make_folders, tmp_path: Path):
    root = make_folders()
    for file in (root / "LR_bicubic" / "X4").iterdir():
        write_image(file, np.zeros((30, 30, 3), np.uint8))
    dataset = PairedDataset(str(root), scale=4, make_lq="bicubic")
    np.testing.assert_array_equal(np.asarray(dataset[2]["lq"]), imresize(pictures()[2], 1 / 4))


def test_gt_that_is_a_little_larger_is_cropped_at_the_bottom_right(make_folders):
    images = pictures(2, ((99, 121),))
    root = make_folders([modcrop(image, 4) for image in images])
    for i, image in enumerate(images):
        write_image(root / "HR" / f"{i:03d}.png", image)
    dataset = PairedDataset(str(root), scale=4)
    np.testing.assert_array_equal(dataset[1]["gt"], images[1][:96, :120])


@pytest.mark.parametrize("name", TEMPLATES)
def test_partners_are_named_as_in_the_sets_in_circulation(name, make_folders):
    root = make_folders()
    for file in sorted((root / "LR_bicubic" / "X4").iterdir()):
        file.rename(file.with_name(f"{name.format(n=file.stem, s=4)}.png"))
    dataset = PairedDataset(str(root), scale=4)
    for i, gt in enumerate(pictures()):
        np.testing.assert_array_equal(dataset[i]["lq"], imresize(gt, 1 / 4))


def test_a_missing_partner_is_named(make_folders):
    root = make_folders()
    (root / "LR_bicubic" / "X4" / "002.png").unlink()
    with pytest.raises(UserError, match=r"1 of 5 .* no partner here: 002"):
        PairedDataset(str(root), scale=4)


def test_lq_of_another_size(make_folders):
    root = make_folders()
    gt = pictures()[3]
    write_image(root / "LR_bicubic" / "X4" / "003.png", imresize(gt, 1 / 2))
    with pytest.raises(UserError, match=r"003: it is 50x50, .*100x100: not x4 .it looks like x2"):
        PairedDataset(str(root), scale=4)


def test_a_patch_larger_than_a_picture(make_folders):
    pipeline = [{"type": "PairedRandomCrop", "lq_patch_size": 24}]
    dataset = PairedDataset(str(make_folders()), scale=4, pipeline=pipeline)
    with pytest.raises(UserError, match=r"HR/001: .*25x20 .*patch of 24x24; lower lq_patch_size"):
        dataset[1]


def test_a_picture_smaller_than_the_scale(make_folders):
    root = make_folders([np.zeros((3, 40, 3), np.uint8)], lq=False)
    with pytest.raises(UserError, match="000 is 40x3 pixels, too small for scale 4"):
        PairedDataset(str(root), scale=4)


def _write_kind(path: Path, kind: str) -> np.ndarray:
    """A PNG of an unusual kind; gives what it must be read as."""
    rgb = pictures(1, ((40, 48),))[0]
    if kind == "grey":
        cv2.imwrite(str(path), rgb[..., 0])
        return np.repeat(rgb[..., :1], 3, axis=2)
    if kind == "RGBA":
        alpha = np.full((40, 48, 1), 255, np.uint8)
        cv2.imwrite(str(path), np.concatenate([rgb[..., ::-1], alpha], axis=2))
        return rgb
    if kind == "16 bit":
        cv2.imwrite(str(path), rgb[..., ::-1].astype(np.uint16) * 257)
        return rgb
    from PIL import Image

    indexed = Image.fromarray(rgb).quantize(17)
    indexed.save(path)
    return np.asarray(indexed.convert("RGB"))


@pytest.mark.parametrize("kind", ["grey", "palette", "RGBA", "16 bit"])
def test_pngs_of_every_kind(tmp_path: Path, kind: str):
    expected = _write_kind(tmp_path / "a.png", kind)
    dataset = PairedDataset(gt=str(tmp_path), scale=4)
    found = dataset[0]
    np.testing.assert_array_equal(found["gt"], expected)
    assert found["gt"].dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(found["lq"]), imresize(expected, 1 / 4))
    if kind == "16 bit":
        kept = PairedDataset(gt=str(tmp_path), scale=4, dtype="keep")[0]
        np.testing.assert_array_equal(kept["gt"], expected.astype(np.uint16) * 257)
        assert np.asarray(kept["lq"]).dtype == np.uint16


def test_the_folder_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "here").mkdir()
    write_image(tmp_path / "here" / "a.png", np.zeros((8, 8, 3), np.uint8))
    monkeypatch.chdir(tmp_path / "here")
    assert locate(".", ".", 2).name == "here"


def test_an_empty_folder(tmp_path: Path):
    with pytest.raises(UserError, match=f"{tmp_path}.*no images"):
        PairedDataset(gt=str(tmp_path), scale=4)
    with pytest.raises(UserError, match="no images"):
        PairedDataset(str(tmp_path), scale=4)


def test_a_broken_file_is_named(make_folders):
    root = make_folders()
    file = root / "HR" / "001.png"
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"001\.png"):
        PairedDataset(str(root), scale=4)[1]


def test_arguments():
    with pytest.raises(UserError, match="name of a set, or gt"):
        PairedDataset()
    with pytest.raises(UserError, match="must be auto, bicubic, none or"):
        PairedDataset("x", make_lq="bilinear")
    with pytest.raises(UserError, match="superres data prepare div2k"):
        PairedDataset("DIV2K_train", data_root="nowhere")
