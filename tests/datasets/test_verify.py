"""A good tree passes; every fault is found, with the file it is in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from PIL import Image

from superres.datasets.conventions import by_name
from superres.datasets.pack import pack_images
from superres.datasets.storage import open_store
from superres.datasets.verify import find_sets, judge, verify
from superres.errors import UserError
from superres.imaging.io import read_image, write_image
from superres.imaging.resize import imresize
from tests.datasets.trees import lq_of, official, paired, picture

SIZE = {"height": 48, "width": 56}


def check(folder: Path, scales=None, **options) -> dict:
    return verify(folder, scales, num_workers=0, **options)


def errors(record: dict) -> list[tuple[str, str, str]]:
    return [
        (p["fault"], p["file"], p["message"])
        for one in record["sets"]
        for p in one["problems"]
        if p["severity"] == "error"
    ]


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return paired(tmp_path_factory.mktemp("good") / "toy", 5, **SIZE)


@pytest.fixture
def tree(good, tmp_path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "toy"))


def packed(tree: Path) -> Path:
    """The same tree as packs."""
    out = tree.with_name("packed") / "toy"
    pack_images(tree / "HR", out / "HR.lmdb", num_workers=0)
    for scale in (2, 3):
        source = tree / "LR_bicubic" / f"X{scale}"
        pack_images(source, out / f"LR_bicubic_X{scale}.lmdb", num_workers=0)
    return out


def test_a_good_tree_passes_in_every_form(tree):
    for folder in (tree, tree.parent, packed(tree)):
        record = check(folder, [2, 3])
        assert record["ok"], errors(record)
        one = record["sets"][0]
        assert (one["name"], one["count"]) == ("toy", 5)
        assert [s["verdicts"] for s in one["sides"]] == [{"exact": 5}] * 2
        assert one["problems"] == []


def lq2(tree: Path, i: int = 2) -> Path:
    return tree / "LR_bicubic" / "X2" / f"p{i}x2.png"


def gt(tree: Path, i: int = 2) -> Path:
    return tree / "HR" / f"p{i}.png"


def change(path: Path, made: Callable[[np.ndarray], np.ndarray]) -> Path:
    write_image(path, made(read_image(path, "unchanged", "keep")))
    return path


def from_gt(tree: Path, made: Callable[[np.ndarray], np.ndarray]) -> Path:
    write_image(lq2(tree), made(read_image(gt(tree))))
    return lq2(tree)


def cut(tree: Path) -> Path:
    data = gt(tree).read_bytes()
    gt(tree).write_bytes(data[: len(data) * 2 // 3])
    return gt(tree)


def flipped_bit(tree: Path) -> Path:
    data = bytearray(lq2(tree).read_bytes())
    data[len(data) // 2] ^= 4
    lq2(tree).write_bytes(data)
    return lq2(tree)


def no_picture(tree: Path) -> Path:
    gt(tree).write_bytes(b"<html>404</html>")
    return gt(tree)


def without_lq(tree: Path) -> Path:
    lq2(tree).unlink()
    return gt(tree)


def without_gt(tree: Path) -> Path:
    gt(tree).unlink()
    return lq2(tree)


def renamed(tree: Path) -> Path:
    return lq2(tree).rename(lq2(tree).with_name("q2x2.png"))


def pil(tree: Path) -> Path:
    size = SIZE["width"] // 2, SIZE["height"] // 2
    return from_gt(
        tree, lambda x: np.asarray(Image.fromarray(x).resize(size, Image.Resampling.BICUBIC))
    )


def opencv(tree: Path) -> Path:
    return from_gt(
        tree, lambda x: cv2.resize(x, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)
    )


def rounded_once(tree: Path) -> Path:
    def made(x: np.ndarray) -> np.ndarray:
        exact = imresize(x, 0.5, rounding="float")
        return np.clip(np.floor(exact + 0.5), 0, 255).astype(np.uint8)

    return from_gt(tree, made)


def one_level(tree: Path) -> Path:
    def made(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[12, 12] ^= 1
        return x

    return change(lq2(tree), made)


def shifted(tree: Path, dy: int = 1, dx: int = 0) -> Path:
    return from_gt(tree, lambda x: lq_of(np.roll(x, (dy, dx), (0, 1)), 2))


def jpeg(tree: Path) -> Path:
    def made(x: np.ndarray) -> np.ndarray:
        return cv2.imdecode(cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], 1)

    return change(lq2(tree), made)


FAULTS = {
    "gt truncated": (cut, "decode", "truncated"),
    "lq damaged": (flipped_bit, "decode", ""),
    "no picture": (no_picture, "decode", "not a picture"),
    "lq missing": (without_lq, "names", "has no partner in"),
    "gt missing": (without_gt, "names", "no ground truth of its name"),
    "lq renamed": (renamed, "names", "no ground truth of its name"),
    "grey": (lambda t: change(gt(t), lambda x: x[..., :1]), "channels", "is RGB"),
    "alpha": (
        lambda t: change(gt(t), lambda x: np.dstack([x, x[..., :1]])),
        "channels",
        "has an alpha channel",
    ),
    "depth": (
        lambda t: change(lq2(t), lambda x: x.astype(np.uint16) * 257),
        "depth",
        "16 bits per sample, its ground truth",
    ),
    "scale": (lambda t: from_gt(t, lambda x: lq_of(x, 4)), "scale", "not x2 (it looks like x4)"),
    "size": (lambda t: change(lq2(t), lambda x: x[:-1]), "scale", "not x2"),
    "rounding": (rounded_once, "rounding", "made by float (rounded once"),
    "one level": (one_level, "rounding", "off by at most 1 levels"),
    "pil": (pil, "kernel", "made by pil-bicubic (PIL BICUBIC)"),
    "opencv": (opencv, "kernel", "made by opencv-cubic"),
    "jpeg": (jpeg, "kernel", "by no known kernel"),
    "shift down": (shifted, "shifted", "shifted by 1 down and 0 right"),
    "shift left": (lambda t: shifted(t, 0, -2), "shifted", "shifted by 0 down and -2 right"),
    "shift both": (lambda t: shifted(t, 3, 2), "shifted", "shifted by 3 down and 2 right"),
    "bgr": (lambda t: change(lq2(t), lambda x: x[..., ::-1]), "channels", "red and blue"),
    "another": (
        lambda t: from_gt(t, lambda x: lq_of(picture(77, **SIZE), 2)),
        "content",
        "another picture",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_in_its_file(name, tree):
    spoil, fault, message = FAULTS[name]
    file = spoil(tree)
    record = check(tree, [2])
    assert not record["ok"]
    found = errors(record)
    assert (fault, str(file)) in [(f, where) for f, where, _ in found]
    assert any(message in text for f, where, text in found if where == str(file))
    elsewhere = [where for _, where, _ in found if where not in (str(file), str(gt(tree)))]
    assert elsewhere == [], "only that picture is at fault"


def test_a_shift_between_pixels(tree):
    x = read_image(gt(tree)).astype(np.float64)
    half = np.clip(np.round((x + np.roll(x, 1, 1)) / 2), 0, 255).astype(np.uint8)
    moved = lq_of(np.roll(half, 1, 1), 2)
    verdict = judge(moved, read_image(gt(tree)), 2)
    assert verdict.kind in ("shifted", "kernel")
    assert verdict.kind == "shifted", verdict


def test_counts_of_known_sets(tmp_path):
    official(tmp_path / "s", "DIV2K_valid", [801, 802, 900])
    (count,) = errors(check(tmp_path / "s", [2]))
    assert count[0] == "count"
    assert "3 pictures, DIV2K_valid has 100; missing: 0803, 0804" in count[2]
    assert check(tmp_path / "s", [2], allow_partial=True)["ok"]
    write_image(tmp_path / "s" / "DIV2K_valid_HR" / "0007.png", picture(7))
    faults = errors(check(tmp_path / "s", [2], allow_partial=True))
    assert [f for f, *_ in faults] == ["names", "names"]
    assert "'0007' is no name of DIV2K_valid" in faults[0][2]
    paired(tmp_path / "t" / "Set5", 4)
    ((_, _, text),) = errors(check(tmp_path / "t", [2]))
    assert text == "4 pictures, and Set5 has 5"
    assert check(tmp_path / "t", [2], count=4)["ok"]
    (_, count, _) = errors(check(tmp_path / "t", [2, 4, 8], count=4))[0]
    assert "Set5" in count, "sides that are asked for must be there"


def test_duplicates_are_named(tree):
    shutil.copy(gt(tree, 0), gt(tree, 3))
    for scale in (2, 3):
        folder = tree / "LR_bicubic" / f"X{scale}"
        shutil.copy(folder / f"p0x{scale}.png", folder / f"p3x{scale}.png")
    ((fault, file, text),) = errors(check(tree))
    assert (fault, file) == ("duplicate", str(gt(tree, 3)))
    assert str(gt(tree, 0)) in text


@pytest.mark.parametrize("form", ["same", "jpeg", "mirrored", "turned", "resized"])
def test_a_test_picture_in_the_training_set(form, tmp_path):
    test = paired(tmp_path / "data" / "Set5", 5, (2,), height=96, width=120)
    train = tmp_path / "data" / "my_train" / "HR"
    train.mkdir(parents=True)
    for i in range(20, 30):
        write_image(train / f"{i}.png", picture(i, 96, 120))
    leaked = read_image(test / "HR" / "p3.png")
    if form == "jpeg":
        write_image(train / "leak.jpg", leaked, quality=80)
    else:
        made = {
            "same": leaked,
            "mirrored": leaked[:, ::-1],
            "turned": np.rot90(leaked),
            "resized": imresize(leaked, 1.5),
        }
        write_image(train / "leak.png", np.ascontiguousarray(made[form]))
    for record in (check(tmp_path / "data", [2]), check(train.parent, against=[test])):
        found = [f for f in errors(record) if f[0] == "leak"]
        ((_, file, text),) = found
        assert Path(file).stem == "leak"
        assert str(test / "HR" / "p3.png") in text
        assert "the test set Set5" in text


@pytest.mark.parametrize(("train", "test"), [("photos", "Set5"), ("mine", "DIV2K_valid")])
def test_a_set_of_any_name_may_leak_and_only_known_tests_are_called_so(train, test, tmp_path):
    paired(tmp_path / train, 3, (2,), height=96, width=120)
    paired(tmp_path / test, 3, (2,), height=96, width=120)
    paired(tmp_path / "other", 3, (2,), height=96, width=120)
    record = check(tmp_path, allow_partial=True)
    found = {
        one["name"]: [p["message"] for p in one["problems"] if p["fault"] == "leak"]
        for one in record["sets"]
    }
    assert {name: len(texts) for name, texts in found.items()} == {train: 3, test: 0, "other": 3}
    assert all(f"the test set {test}" in text for texts in found.values() for text in texts)


def test_different_pictures_are_no_leak(tmp_path):
    paired(tmp_path / "Set5", 5, (2,), height=96, width=120)
    train = tmp_path / "my_train" / "HR"
    train.mkdir(parents=True)
    for i in range(100, 160):
        write_image(train / f"{i}.png", picture(i, 96, 120))
    flat = np.full((96, 120, 3), 7, np.uint8)
    write_image(train / "flat.png", flat)
    write_image(tmp_path / "Set5" / "HR" / "p0.png", flat + 1)
    assert [f for f in errors(check(tmp_path)) if f[0] == "leak"] == []


def test_packed_pixels_that_changed_on_disk(tree):
    folder = packed(tree)
    file = folder / "HR.lmdb" / "data.mdb"
    data = bytearray(file.read_bytes())
    pixels = open_store(folder / "HR.lmdb").read("p3").tobytes()
    at = data.index(pixels)
    data[at + 100] ^= 1
    file.unlink()  # another inode: nothing that is open changes
    file.write_bytes(data)
    found = errors(check(folder, [2]))
    assert ("checksum", f"{folder / 'HR.lmdb'}: p3") in [(f, where) for f, where, _ in found]
    assert {where for _, where, _ in found} == {f"{folder / 'HR.lmdb'}: p3"}


def test_packs_that_are_cut_off_unfinished_or_foreign(tree):
    folder = packed(tree)
    file = folder / "LR_bicubic_X3.lmdb" / "data.mdb"
    with open(file, "r+b") as opened:
        opened.truncate(file.stat().st_size // 2)
    (folder / "LR_bicubic_X4.lmdb.partial").mkdir()
    environment = lmdb.open(str(folder / "LR_bicubic_X8.lmdb"))
    environment.close()
    found = {Path(where).name: (fault, text) for fault, where, text in errors(check(folder))}
    assert found.keys() == {
        "LR_bicubic_X3.lmdb",
        "LR_bicubic_X4.lmdb.partial",
        "LR_bicubic_X8.lmdb",
    }
    assert "truncated" in found["LR_bicubic_X3.lmdb"][1]
    assert found["LR_bicubic_X4.lmdb.partial"][0] == "unfinished"


def test_names_that_clash_are_an_error(tree):
    write_image(tree / "HR" / "p1.bmp", picture(1))
    ((fault, _, text),) = errors(check(tree))
    assert fault == "decode"
    assert "p1.bmp" in text
    assert "p1.png" in text


def test_grey_pairs_are_no_fault(tree):
    for file in (gt(tree), lq2(tree), tree / "LR_bicubic" / "X3" / "p2x3.png"):
        change(file, lambda x: x[..., :1])
    record = check(tree)
    # a channel of a colour bicubic is the bicubic of the channel
    assert record["ok"], errors(record)
    (note,) = record["sets"][0]["problems"]
    assert note["message"] == "1 pictures with 1 channels, 4 pictures with 3 channels"


def test_border_rules_and_other_conventions(tmp_path):
    paired(tmp_path / "old", 3, (2,), border="replicate", **SIZE)
    side = check(tmp_path / "old")["sets"][0]["sides"][0]
    assert side["conventions"] == {"matlab-old": 3}
    for i in range(3):
        made = by_name("pil-bicubic").make(picture(i, **SIZE), (24, 28))
        write_image(lq2(tmp_path / "old", i), made)
    assert not check(tmp_path / "old")["ok"]
    assert check(tmp_path / "old", degradation="pil-bicubic")["ok"]
    assert check(tmp_path / "old", degradation="any")["ok"]
    image = read_image(gt(tmp_path / "old"))
    framed = lq_of(image, 2)
    framed[0] += 9
    assert judge(framed, image, 2).kind == "border"


def test_where_sets_are_found(tmp_path, tree):
    official(tmp_path / "s" / "archives", "DIV2K_train", [1], (2, 3))
    (found,) = find_sets(tmp_path / "s")
    assert found.name == "DIV2K_train"
    assert not found.test
    assert set(found.lq) == {("bicubic", 2), ("bicubic", 3)}
    (plain,) = find_sets(tree / "HR")
    assert (plain.name, plain.lq) == ("HR", {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no set here or below it"):
        find_sets(tmp_path / "empty")
    with pytest.raises(UserError, match="no such folder"):
        verify(tmp_path / "none")
