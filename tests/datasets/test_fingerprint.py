"""Every convention is told apart from all others, by independent libraries where there are any."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from superres.datasets.fingerprint import (
    CONVENTIONS,
    fingerprint,
    fingerprint_pair,
    ground_truth_for,
)
from superres.datasets.pack import pack_images
from superres.errors import UserError
from superres.imaging.io import write_image
from tests.datasets.trees import picture

GT = picture(0, 96, 120)


# Without antialiasing an odd scale meets the samples, whatever the kernel.
OPENCV_ODD = {"opencv-cubic", "opencv-linear", "opencv-lanczos4"}


def twins(name: str, scale: int) -> set[str]:
    """The conventions that are one and the same at this scale."""
    # A tie, which is rounded either way, is one sample in 65536 at x2 and none at x3.
    groups = [{"float", "float-even"}, {"float-old", "float-old-even"}]
    groups += {2: [{"opencv-area", "opencv-linear"}], 3: [OPENCV_ODD]}.get(scale, [])
    return next((group for group in groups if name in group), {name})


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_known_libraries_are_recognised(scale):
    size = GT.shape[1] // scale, GT.shape[0] // scale
    made = {
        "pil-bicubic": np.asarray(Image.fromarray(GT).resize(size, Image.Resampling.BICUBIC)),
        "pil-lanczos": np.asarray(Image.fromarray(GT).resize(size, Image.Resampling.LANCZOS)),
        "opencv-cubic": cv2.resize(GT, size, interpolation=cv2.INTER_CUBIC),
        "opencv-area": cv2.resize(GT, size, interpolation=cv2.INTER_AREA),
        "nearest": GT[::scale, ::scale],
    }
    for name, lq in made.items():
        exact = [n for n, (count, _) in fingerprint_pair(lq, GT, scale).items() if count == 0]
        assert name in exact, name
        assert set(exact) <= twins(name, scale)


@pytest.mark.parametrize("convention", CONVENTIONS.values(), ids=lambda c: c.name)
@pytest.mark.parametrize("scale", [2, 3])
def test_no_two_conventions_are_the_same(convention, scale):
    size = GT.shape[0] // scale, GT.shape[1] // scale
    found = fingerprint_pair(convention.make(GT, size), GT, scale)
    assert found[convention.name] == (0, 0)
    same = {n for n, (count, _) in found.items() if count == 0}
    assert same <= twins(convention.name, scale)


def test_ties_tell_the_two_ways_of_rounding_apart():
    # samples that are multiples of 64 make ties frequent: one in 1024, every second seen
    gt = np.random.default_rng(0).integers(0, 4, (200, 200, 3), dtype=np.uint8) * 64
    found = fingerprint_pair(CONVENTIONS["float-even"].make(gt, (100, 100)), gt, 2)
    assert found["float-even"] == (0, 0)
    assert found["float"][1] == 1
    assert 5 < found["float"][0] < 40


def test_sizes_that_do_not_divide():
    gt = picture(1, 97, 122)
    cropped = CONVENTIONS["pil-bicubic"].make(gt[:96, :120], (32, 40))
    squeezed = CONVENTIONS["pil-bicubic"].make(gt, (32, 40))
    assert fingerprint_pair(cropped, gt, 3)["pil-bicubic"] == (0, 0)
    found = fingerprint_pair(squeezed, gt, 3)
    assert found["pil-bicubic-uncropped"] == (0, 0)
    assert found["pil-bicubic"][0] > 0
    rounded_up = CONVENTIONS["matlab"].make(gt, (33, 41))  # MATLAB's imresize of the whole image
    assert fingerprint_pair(rounded_up, gt, 3)["matlab"] == (0, 0)
    with pytest.raises(UserError, match=r"not x3 \(it looks like x4\)"):
        ground_truth_for(gt, (24, 30), 3)


def test_folders_databases_and_files(tmp_path):
    for folder in ("HR", "LR"):
        (tmp_path / folder).mkdir()
    for i in range(3):
        gt = picture(i, 40, 48)
        write_image(tmp_path / "HR" / f"{i}.png", gt)
        name = "matlab" if i else "pil-bicubic"
        write_image(tmp_path / "LR" / f"{i}x2.png", CONVENTIONS[name].make(gt, (20, 24)))
    record = fingerprint(tmp_path / "LR", tmp_path / "HR", 2, num_workers=0)
    assert record["verdict"] == []
    assert [p["exact"] for p in record["pictures"]] == [["pil-bicubic"], ["matlab"], ["matlab"]]
    rows = {row["name"]: row for row in record["conventions"]}
    assert (rows["matlab"]["exact"], rows["pil-bicubic"]["exact"]) == (2, 1)
    assert rows["matlab"]["share"] == rows["matlab"]["differing"] / record["samples"]
    for folder in ("HR", "LR"):
        pack_images(tmp_path / folder, tmp_path / f"{folder}.lmdb", num_workers=0)
    packed = fingerprint(tmp_path / "LR.lmdb", tmp_path / "HR.lmdb", 2, num_workers=0)
    assert packed["conventions"] == record["conventions"]
    single = fingerprint(tmp_path / "LR" / "1x2.png", tmp_path / "HR" / "1.png", 2, num_workers=0)
    assert single["verdict"] == ["matlab"]
    with pytest.raises(UserError, match="two folders, two databases or two images"):
        fingerprint(tmp_path / "LR", tmp_path / "HR" / "1.png", 2)
    with pytest.raises(UserError, match=r"not x2; both sides are of one size"):
        fingerprint(tmp_path / "HR", tmp_path / "HR", 2, num_workers=0)


@pytest.mark.reference
@pytest.mark.parametrize(("name", "convention"), [("Set5", "matlab"), ("Set14", "matlab-old")])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_set5_and_set14_come_from_two_matlab_generations(name, convention, scale, reference_dir):
    folder = reference_dir / "data" / "benchmark" / name
    record = fingerprint(folder / "LR_bicubic" / f"X{scale}", folder / "HR", scale, num_workers=0)
    assert record["verdict"] == [convention]
    assert record["conventions"][0]["name"] == convention
    assert record["conventions"][1]["differing"] > 1000
