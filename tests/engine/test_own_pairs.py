"""Two folders of a user's own, in the layouts that people have: trained, named, and refused."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.cli.main import main
from superres.datasets.locate import locate
from superres.datasets.paired import PairedDataset
from superres.datasets.pairing import partners
from superres.engine.config.load import load_config
from superres.engine.test.sets import prepare_sets
from superres.errors import UserError
from superres.imaging.io import write_image
from superres.imaging.resize import imresize

from .conftest import CONFIG, picture

PLAIN = """HR/LR GT/LQ hr/lr gt/lq high/low train_HR/train_LR HighRes/LowRes target/input
    hr_images/lr_images Ground-Truth/degraded high-quality/low-quality HRtrain/LRtrain HR1/LR1
    large/small reference/distorted"""
LAYOUTS = {
    # name: (high, low, name of a low image)
    **{pair: (*pair.split("/"), "{n}") for pair in PLAIN.split()},
    "LR/X2": ("HR", "LR/X2", "{n}"),
    "LR_x2": ("HR", "LR_x2", "{n}"),
    "X2": ("HR", "X2", "{n}x2"),
    "LR_bicubic/X2": ("HR", "LR_bicubic/X2", "{n}x2"),
    "LR_unknown/X2": ("HR", "LR_unknown/X2", "{n}x2"),
    "HR_train/LR_train_x2": ("HR_train", "LR_train_x2", "{n}"),
    "a common prefix": ("HR", "LR", "low_{n}"),
    "a common suffix": ("HR", "LR", "{n}-camera"),
    "plain with LR inside": ("", "LR", "{n}"),
    "HR/train + LR/train/X2": ("HR/train", "LR/train/X2", "{n}x2"),
    "LR/bicubic/X2": ("HR", "LR/bicubic/X2", "{n}x2"),
    "LR/x2/images": ("HR/images", "LR/x2/images", "{n}"),
    "camera_lr": ("HR", "camera_lr", "{n}"),
}


def make(root, high, low, name="{n}", scale=2, count=4, shade=0, gt_name="{n}"):
    """A dataset whose low side is darker by ``shade``."""
    for seed in range(count):
        image, n = picture(seed), f"img_{seed:03}"
        small = np.maximum(imresize(image, scale=1 / scale), shade) - shade
        for folder, file, content in ((high, gt_name, image), (low, name, small)):
            path = root / folder / f"{file.format(n=n)}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, content)
    return root


def loss_of(train, folder, tmp_path, capsys, *extra):
    trace = tmp_path / f"{os.urandom(4).hex()}.jsonl"
    options = (f"train_set={folder}", "max_iters=1", "test_sets=[]", "val_sets=[]", *extra)
    assert train(*options, trace=trace) == 0, capsys.readouterr().err
    return json.loads(trace.read_text().splitlines()[0])["loss"], capsys.readouterr().out


def refused(folder, scale=2) -> str:
    """What is said of a set that cannot be used."""
    with pytest.raises(UserError) as caught:
        PairedDataset(folder if isinstance(folder, dict) else str(folder), scale=scale)
    return str(caught.value)


def sides(folder) -> str:
    """What a run's first lines say of a set."""
    dataset = PairedDataset(str(folder), scale=2)
    return "; ".join([dataset.describe_sides(), *dataset.notes])


def prepare(root, out, code, capsys) -> str:
    """What `data prepare folder` prints."""
    command = ["data", "prepare", "folder", "--root", str(root), "--out", str(out)]
    assert main([*command, "--scales", "2"]) == code
    return "".join(capsys.readouterr())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_low_side_is_found(layout, tmp_path):
    high, low, name = LAYOUTS[layout]
    roots = [make(tmp_path / f"mine{shade}", high, low, name, shade=shade) for shade in (0, 40)]
    sets = [PairedDataset(str(root), scale=2) for root in roots]
    for root, dataset in zip(roots, sets):
        assert f"4 images, HR from {root / high}, LR from {root / low}" in dataset.describe_sides()
    for i in range(4):
        light, dark = (one[i]["lq"].astype(int) for one in sets)
        np.testing.assert_array_equal(dark, np.maximum(light - 40, 0))
    assert locate(str(roots[0]), ".", 2, needs_lq=False).lq is None


def test_the_low_side_is_what_is_trained_on(train, tmp_path, capsys):
    losses = []
    for shade in (0, 40):
        root = make(tmp_path / f"mine{shade}", "sharp ones", "from the phone", shade=shade)
        spec = f"dict(gt='{root}/sharp ones', lq='{root}/from the phone')"
        losses.append(loss_of(train, spec, tmp_path, capsys)[0])
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("gt_name", "lq_name"),
    [("{n}_hr_a", "{n}_lr_a"), ("caf\u00e9_{n}", "cafe\u0301_{n}")],  # Linux's and macOS's é
)
def test_names_that_differ_on_both_sides(gt_name, lq_name, tmp_path):
    root = make(tmp_path / "mine", "HR", "LR", lq_name, gt_name=gt_name)
    dataset = PairedDataset(str(root), scale=2)
    for i in range(4):
        np.testing.assert_array_equal(dataset[i]["lq"], imresize(dataset[i]["gt"], 1 / 2))


AFFIXES = st.text("abcxyz019_-. ", max_size=6)


@given(ends=st.tuples(AFFIXES, AFFIXES, AFFIXES, AFFIXES), data=st.data())
def test_one_prefix_and_suffix_are_seen_through(ends, data):
    stems = st.lists(st.text("klmn2345", min_size=7, max_size=9), min_size=3, unique=True)
    names = sorted(data.draw(stems))
    gt, lq = (sorted(a + name + b for name in names) for a, b in (ends[:2], ends[2:]))
    assert sorted(partners(gt, data.draw(st.permutations(lq)), 2)) == [*range(len(gt))]


HIDDEN = {
    # what lies in the place of the low side, and what is said of it
    "link": (lambda r: (r / "LR").symlink_to("/not/mounted/LR"), "LR: a link that leads nowhere"),
    "empty": (lambda r: (r / "LR").mkdir(), "LR holds no images that are read"),
    "archive": (lambda r: (r / "LR_x2.zip").write_bytes(b"PK"), "LR_x2.zip holds no images that"),
    "pack": (lambda r: (r / "LR_X2.lmdb.partial").mkdir(), "its packing was interrupted"),
    "images beside": (lambda r: make(r, "HR", "from phone"), "from phone holds images that are"),
    "images here": (lambda r: make(r, "HR", ""), "holds images that are not used"),
    "nested": (
        lambda r: (make(r, "HR", "LR_bicubic/X4", scale=4) / "LR_bicubic/X2").symlink_to("/no/X2"),
        "X2: a link that leads nowhere",
    ),
}


@pytest.mark.parametrize("what", HIDDEN)
def test_bicubic_never_hides_a_low_side_that_is_not_read(what, tmp_path, capsys):
    put, said = HIDDEN[what]
    root = make(tmp_path / "mine", "HR", "LR")
    shutil.rmtree(root / "LR")
    put(root)
    text = refused(root)
    assert said in text
    assert "make_lq='bicubic'" in text, "what helps"
    dataset = PairedDataset(str(root), scale=2, make_lq="bicubic")
    assert "LR made by MATLAB" in dataset.describe_sides()
    if what in ("link", "empty", "images beside"):
        assert main(["data", "verify", str(root)]) == 1
        assert said in "".join(capsys.readouterr())
        assert said in prepare(root, tmp_path / "out", 2, capsys)
        assert not (tmp_path / "out").exists()


def test_images_that_are_not_used_are_named(train, tmp_path, capsys):
    root = make(make(tmp_path / "mine", "HR", "from phone"), "HR", "LR")
    said = loss_of(train, root, tmp_path, capsys)[1]
    text = f"{root}/from phone holds images that are not used"
    assert f"warning: train: {text}" in said
    assert text in prepare(root, tmp_path / "out", 0, capsys)
    # LR beside a folder that is named itself
    assert "LR holds images that are not used" in refused(root / "HR")
    assert f"gt='{root}/HR', lq='{root}/LR'" in refused(root / "LR")


def test_a_linked_subfolder_is_named_once(tmp_path, capsys):
    flat = make(tmp_path / "mine", "HR", "LR") / "HR"
    assert main(["data", "verify", str(flat)]) == 0
    (flat / "sub").symlink_to("../LR")
    (flat / "loop").symlink_to(".")
    capsys.readouterr()
    assert main(["data", "verify", str(flat)]) == 1
    said = "".join(capsys.readouterr())
    assert f"{flat}/sub holds images that are not used" in said
    assert "loop" not in said
    assert "loop" not in refused(flat)


@pytest.mark.parametrize("layout", ["HR/train + LR/train/X2", "GT/LQ", "a common suffix"])
def test_prepare_verify_and_score_pair_as_training_does(layout, tmp_path, capsys):
    high, low, name = LAYOUTS[layout]
    root, out = make(tmp_path / "mine", high, low, name), tmp_path / "data"
    prepare(root, out, 0, capsys)
    said = sides(out / "mine")
    assert f"4 images, HR from {out}/mine/HR.lmdb, LR from {out}/mine/LR_unknown_X2.lmdb" in said
    assert main(["data", "verify", str(root)]) == 0
    assert "unknown" in capsys.readouterr().out
    assert main(["score", str(root / high), str(root), "--scale", "2"]) == 0


@pytest.mark.parametrize(
    "folders",
    [(("train_HR", "train_LR"), ("valid_HR", "valid_LR")), (("a/HR", "a/LR"), ("b/HR", "b/LR"))],
)
def test_no_set_is_taken_for_another(folders, tmp_path, capsys):
    root = tmp_path / "mine"
    for high, low in folders:
        make(root, high, low)
    assert "one by one" in prepare(root, tmp_path / "out", 2, capsys)
    assert "Name one of them" in refused(root)
    first = root / folders[0][0].replace("/HR", "").replace("_HR", "")
    assert f"LR from {root / folders[0][1]}" in sides(first)


def test_the_tracks_of_div2k_lie_beside_each_other(tmp_path):
    name = "DIV2K_train_LR"
    for scale, low in ((2, f"{name}_bicubic/X2"), (4, f"{name}_mild"), (8, f"{name}_x8")):
        make(tmp_path, "DIV2K_train_HR", low, f"{{n}}x{scale}", scale=scale)
    for scale, low in ((2, "LR_bicubic/X2"), (8, "LR_x8")):
        found = locate("DIV2K_train", tmp_path, scale)
        assert found.lq == tmp_path / f"DIV2K_train_{low}"


def test_pairs_that_a_config_file_names(options, tmp_path, capsys):
    root = make(tmp_path / "own", "a", "b")
    (tmp_path / "first.py").write_text(
        f"_base_ = {CONFIG!r}\n"
        f"train_set = dict(gt='{root}/a', lq='{root}/b')\n"
        f"val_sets = [dict(gt='{root}/a', lq='{root}/b', name='phone'), 'nothing?']\n"
        "test_sets = []\n"
    )
    (tmp_path / "second.py").write_text(
        f"_base_ = 'first.py'\ntrain_set = dict(gt='{root}/a')\ntest_sets = dict(gt='{root}/a')\n"
    )
    kept = [o for o in options if not o.startswith(("train_set", "val_sets", "test_sets"))]

    def run(config, work, *flags, iters=2):
        return main(["train", str(config), "--work-dir", str(work), *flags, "--cfg-options", *kept,
                     f"max_iters={iters}", "val_interval=2"])  # fmt: skip

    work = tmp_path / "work"
    assert run(tmp_path / "first.py", work) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert f"train: 4 images, HR from {root}/a, LR from {root}/b" in said
    assert f"validation phone: 4 images, HR from {root}/a, LR from {root}/b" in said
    # The config that the run saved, and another file that names one side only.
    assert run(work / "config.py", work, "--resume", iters=4) == 0
    assert f"train: 4 images, HR from {root}/a, LR from {root}/b" in capsys.readouterr().out
    assert run(tmp_path / "second.py", tmp_path / "w2") == 0
    said = capsys.readouterr().out
    assert f"train: 4 images, HR from {root}/a, LR made by" in said
    assert f"test a: 4 images, HR from {root}/a, LR made by" in said
    for sets in (["phone"], [f"dict(gt='{root}/a', lq='{root}/b', name='two')", "phone"]):
        command = ["test", str(work / "config.py"), str(work / "iter_2.pth"), "--sets"]
        assert main([*command, *sets]) == 0, capsys.readouterr()
        said = capsys.readouterr().out
        assert "phone x2" in said
        assert ("two x2" in said) == (len(sets) == 2)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (("HR", "LR"), ("HR", "LR_x2"), "{0}/LR and {0}/LR_x2 could all be the low-quality side"),
        (("HR", "LR/X2"), ("HR", "LR_x2"), "{0}/LR/X2 and {0}/LR_x2 could all be"),
        (("HR", "LR"), ("GT", "LR"), "could all be the high-quality side"),
    ],
)
def test_two_candidates(first, second, said, tmp_path):
    root = make(make(tmp_path, *first), *second)
    assert said.format(root) in refused(root)


def test_pairs_that_do_not_fit(tmp_path):
    root = make(tmp_path / "partner", "HR", "LR")
    (root / "LR" / "img_002.png").unlink()
    assert "1 of 4 images" in refused(root)
    assert "img_002" in refused(root)
    (root / "HR" / "img_002.png").unlink()
    (root / "HR" / "img_003.png").unlink()
    assert "1 of 3 images of" in sides(root), "a low image without a partner is said"
    root = make(tmp_path / "scale", "HR", "LR", scale=4)
    assert "img_000" in refused(root)
    assert "looks like x4" in refused(root)
    assert "LR_x4" in refused(make(tmp_path / "other", "HR", "LR_x4", scale=4))
    assert "look swapped" in refused(make(tmp_path / "swapped", "HR", "LR", scale=1 / 2))
    assert "both sides are of one size" in refused(make(tmp_path / "one", "HR", "LR", scale=1))
    assert "gt must be a path" in refused({"lq": "x"})
    assert "it has gd" in refused({"gt": "x", "gd": "y"})
    assert "no images and no LMDB" in refused({"gt": f"{tmp_path}/none"})
    root = make(tmp_path / "below", "holiday", "family", scale=1)
    assert "images in subfolders only (family, holiday)" in refused(root)
    assert "LR/X2" in refused(root), "the layouts are listed"


@pytest.mark.parametrize(
    ("put", "said"),
    [
        (lambda path: path.symlink_to("/not/mounted/0802.png"), "a link that leads nowhere"),
        (lambda path: path.symlink_to(path), "a link that leads nowhere"),
        (os.mkfifo, "a pipe"),
    ],
)
def test_what_is_no_file(put, said, tmp_path):
    root = make(tmp_path / "mine", "HR", "LR")
    for side in ("HR", "LR"):
        put(root / side / "img_009.png")
    assert f"img_009.png: {said}" in refused(root)


def test_only_what_is_trained_on_is_kept_decoded(tmp_path):
    (tmp_path / "valid").mkdir()
    write_image(tmp_path / "valid/a.png", np.zeros((32, 32, 3), np.uint8))
    changes = {"val_sets": [str(tmp_path / "valid")], "test_sets": []}
    cfg = load_config("edsr_x2c64b16_g1_300k_div2k", changes)
    (valid,) = prepare_sets(cfg, print)
    assert (valid.dataset.cache, valid.dataset.cached) == (None, [])
    (valid,) = prepare_sets(load_config(cfg, {"eval_dataset": {"cache": "cpu"}}), print)
    assert valid.dataset.cache == "cpu"
