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

from superres.datasets.fingerprint import CONVENTIONS
from superres.datasets.pack import pack_images
from superres.datasets.verify import judge, verify
from superres.errors import UserError
from superres.imaging.io import read_image, write_image
from superres.imaging.resize import imresize
from tests.datasets.trees import lq_of, official, paired, picture, put

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


@pytest.fixture
def tree(tmp_path) -> Path:
    return paired(tmp_path / "toy", 5, **SIZE)


def packed(tree: Path) -> Path:
    """The same tree as packs."""
    out = tree.with_name("packed") / "toy"
    for source in (tree / "HR", *(tree / "LR_bicubic").iterdir()):
        name = "_".join(source.relative_to(tree).parts)
        pack_images(source, out / f"{name}.lmdb", num_workers=0)
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


def changed(path: Path, change: Callable) -> Path:
    """An image that is written again."""
    write_image(path, change(read_image(path, "unchanged", "keep")))
    return path


def made(tree: Path, make: Callable) -> Path:
    """A low-quality image that is made of its ground truth in another way."""
    write_image(lq2(tree), make(read_image(gt(tree))))
    return lq2(tree)


def damaged(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


def one_level(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[12, 12] ^= 1
    return x


def rounded_once(x: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(imresize(x, 0.5, rounding="float") + 0.5), 0, 255).astype(np.uint8)


def jpeg(x: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], 1)


HALF = SIZE["width"] // 2, SIZE["height"] // 2
FAULTS = {
    "twice": (
        lambda t: shutil.copy(lq2(t, 0), lq2(t)) and shutil.copy(gt(t, 0), gt(t)),
        "duplicate",
        "has the same pixels as",
    ),
    # what is done to a tree, giving the file at fault; the fault; what is said
    "cut": (lambda t: damaged(gt(t), lambda b: b[:-900]), "decode", "truncated"),
    "no lq": (lambda t: lq2(t).unlink() or gt(t), "names", "has no partner in"),
    "no gt": (lambda t: gt(t).unlink() or lq2(t), "names", "no ground truth of its name"),
    "grey": (lambda t: changed(gt(t), lambda x: x[..., :1]), "channels", "is RGB"),
    "depth": (
        lambda t: changed(lq2(t), lambda x: x.astype(np.uint16) * 257),
        "depth",
        "16 bits per sample, its ground truth",
    ),
    "scale": (lambda t: made(t, lambda x: lq_of(x, 4)), "scale", "not x2 (it looks like x4)"),
    "rounding": (lambda t: made(t, rounded_once), "rounding", "made by float (rounded once"),
    "one level": (lambda t: changed(lq2(t), one_level), "rounding", "off by at most 1 levels"),
    "pil": (
        lambda t: made(t, lambda x: np.asarray(Image.fromarray(x).resize(HALF, 3))),
        "kernel",
        "made by pil-bicubic (PIL BICUBIC)",
    ),
    "jpeg": (lambda t: changed(lq2(t), jpeg), "kernel", "by no known kernel"),
    "shift": (lambda t: made(t, lambda x: lq_of(np.roll(x, 1, 0), 2)), "shifted", "by 1 down and"),
    "bgr": (lambda t: changed(lq2(t), lambda x: x[..., ::-1]), "channels", "red and blue"),
    "another": (
        lambda t: made(t, lambda x: lq_of(picture(77, **SIZE), 2)),
        "content",
        "another image",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_in_its_file(name, tree):
    spoil, fault, message = FAULTS[name]
    file = spoil(tree)
    record = check(tree, [2])
    found = errors(record)
    assert not record["ok"]
    assert any((f, where) == (fault, str(file)) and message in text for f, where, text in found)
    assert {where for _, where, _ in found} <= {str(file), str(gt(tree))}, "only that image"


def test_counts_of_known_sets(tmp_path):
    official(tmp_path / "s", "DIV2K_valid", [801, 802, 900])
    ((fault, _, text),) = errors(check(tmp_path / "s", [2]))
    assert fault == "count"
    assert "3 images, and DIV2K_valid has 100; missing: 0803, 0804" in text
    assert check(tmp_path / "s", [2], allow_partial=True)["ok"]
    put(tmp_path / "s" / "DIV2K_valid_HR" / "0007.png", picture(7))
    faults = errors(check(tmp_path / "s", [2], allow_partial=True))
    assert [f for f, *_ in faults] == ["names", "names"]
    assert "'0007' is not a name of DIV2K_valid" in faults[0][2]
    paired(tmp_path / "t" / "Set5", 4)
    ((_, _, text),) = errors(check(tmp_path / "t", [2]))
    assert text == "4 images, and Set5 has 5"
    assert check(tmp_path / "t", [2], count=4)["ok"]
    (_, _, text), _ = errors(check(tmp_path / "t", [2, 4, 8], count=4))
    assert "no low-quality side for x4" in text


FORMS = {
    "same": lambda x: x,
    "jpeg": lambda x: jpeg(x),
    "mirrored": lambda x: x[:, ::-1],
    "turned": np.rot90,
    "resized": lambda x: imresize(x, 1.5),
}


def test_test_pictures_in_the_training_set(tmp_path):
    test = paired(tmp_path / "data" / "Set5", 6, (2,), height=96, width=120)
    train = tmp_path / "data" / "photos" / "HR"
    for i in range(20, 80):
        put(train / f"{i}.png", picture(i, 96, 120))
    flat = np.full((96, 120, 3), 7, np.uint8)
    put(train / "flat.png", flat)
    put(test / "HR" / "p5.png", flat + 1)
    for i, (form, change) in enumerate(FORMS.items()):
        leaked = change(read_image(test / "HR" / f"p{i}.png"))
        put(train / f"{form}.png", np.ascontiguousarray(leaked))
    options = {"degradation": "any", "count": 6}
    for record in (check(tmp_path / "data", **options), check(train, against=[test])):
        leaks = {Path(file).stem: text for fault, file, text in errors(record) if fault == "leak"}
        assert leaks.keys() == FORMS.keys()
        for i, form in enumerate(FORMS):
            assert f"the test set Set5, as {test}/HR/p{i}.png" in leaks[form]


def test_packs_that_are_cut_off_unfinished_or_foreign(tree):
    folder = packed(tree)
    damaged(folder / "LR_bicubic_X3.lmdb" / "data.mdb", lambda data: data[: len(data) // 2])
    (folder / "LR_bicubic_X4.lmdb.partial").mkdir()
    lmdb.open(str(folder / "LR_bicubic_X8.lmdb")).close()
    found = {Path(where).name: (fault, text) for fault, where, text in errors(check(folder))}
    names = {"LR_bicubic_X3.lmdb", "LR_bicubic_X4.lmdb.partial", "LR_bicubic_X8.lmdb"}
    assert found.keys() == names
    assert "truncated" in found["LR_bicubic_X3.lmdb"][1]
    assert found["LR_bicubic_X4.lmdb.partial"][0] == "unfinished"
    shutil.move(folder / "HR.lmdb", folder / "HR.lmdb.partial")
    assert "unfinished" in [fault for fault, *_ in errors(check(folder))]


def test_one_row_and_a_folder_that_cannot_be_opened(tmp_path):
    put(tmp_path / "a" / "row.png", picture(0, 1, 48))
    assert errors(check(tmp_path / "a"))[0][2] == "48x1 pixels, too small for scale 2"
    for name in ("p.png", "p.jpg"):
        put(tmp_path / "b" / name, picture(1))
    assert "p.png have the same name" in errors(check(tmp_path / "b"))[0][2]


def test_grey_pairs_are_no_fault(tree):
    for file in (gt(tree), lq2(tree)):
        changed(file, lambda x: x[..., :1])
    record = check(tree, [2])
    # a channel of a colour bicubic is the bicubic of the channel
    assert record["ok"], errors(record)


def test_border_rules_and_other_conventions(tmp_path):
    old = paired(tmp_path / "old", 3, (2,), border="replicate", **SIZE)
    assert check(old)["sets"][0]["sides"][0]["conventions"] == {"matlab-old": 3}
    framed, image = read_image(lq2(old)).copy(), read_image(gt(old))
    framed[0] += 9
    assert judge(framed, image, 2).kind == "border"
    for i in range(3):
        write_image(lq2(old, i), CONVENTIONS["pil-bicubic"].make(picture(i, **SIZE), (24, 28)))
    assert not check(old)["ok"]
    assert check(old, degradation="pil-bicubic")["ok"]
    assert check(old, degradation="any")["ok"]
    with pytest.raises(UserError, match=r"'foo': there are auto, any, matlab, .*pil-bicubic"):
        check(old, degradation="foo")
