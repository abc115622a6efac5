"""Two folders of a user's own, in the layouts that people have: trained, named, and refused."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from superres.cli.main import main
from superres.imaging.io import write_image
from superres.imaging.resize import imresize

from .conftest import CONFIG, picture

LAYOUTS = {
    # name: (high, low, name of a low image)
    "HR/LR": ("HR", "LR", "{n}"),
    "GT/LQ": ("GT", "LQ", "{n}"),
    "hr/lr": ("hr", "lr", "{n}"),
    "gt/lq": ("gt", "lq", "{n}"),
    "high/low": ("high", "low", "{n}"),
    "train_HR/train_LR": ("train_HR", "train_LR", "{n}"),
    "LR/X2": ("HR", "LR/X2", "{n}"),
    "LR_x2": ("HR", "LR_x2", "{n}"),
    "X2": ("HR", "X2", "{n}x2"),
    "LR_bicubic/X2": ("HR", "LR_bicubic/X2", "{n}x2"),
    "LR_unknown/X2": ("HR", "LR_unknown/X2", "{n}x2"),
    "HighRes/LowRes": ("HighRes", "LowRes", "{n}"),
    "target/input": ("target", "input", "{n}"),
    "hr_images/lr_images": ("hr_images", "lr_images", "{n}"),
    "HR_train/LR_train_x2": ("HR_train", "LR_train_x2", "{n}"),
    "Ground-Truth/degraded": ("Ground-Truth", "degraded", "{n}"),
    "a common prefix": ("HR", "LR", "low_{n}"),
    "a common suffix": ("HR", "LR", "{n}-camera"),
    "plain with LR inside": ("", "LR", "{n}"),
    "HR/train + LR/train/X2": ("HR/train", "LR/train/X2", "{n}x2"),
    "LR/bicubic/X2": ("HR", "LR/bicubic/X2", "{n}x2"),
    "LR/x2/images": ("HR/images", "LR/x2/images", "{n}"),
    "high-quality/low-quality": ("high-quality", "low-quality", "{n}"),
    "HRtrain/LRtrain": ("HRtrain", "LRtrain", "{n}"),
    "HR1/LR1": ("HR1", "LR1", "{n}"),
    "large/small": ("large", "small", "{n}"),
    "reference/distorted": ("reference", "distorted", "{n}"),
    "camera_lr": ("HR", "camera_lr", "{n}"),
}


def make(root, high, low, name="{n}", scale=2, count=4, shade=0, gt_name="{n}"):
    """A dataset whose low side is darker by ``shade``."""
    for seed in range(count):
        image = picture(seed)
        n = f"img_{seed:03}"
        for folder, file, content in (
            (high, gt_name.format(n=n), image),
            (low, name.format(n=n), np.maximum(imresize(image, scale=1 / scale), shade) - shade),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            write_image(root / folder / f"{file}.png", content)
    return root


def loss_of(train, folder, tmp_path, capsys, *extra):
    trace = tmp_path / f"{os.urandom(4).hex()}.jsonl"
    options = (f"train_set={folder}", "max_iters=1", "test_sets=[]", "val_sets=[]", *extra)
    assert train(*options, trace=trace) == 0, capsys.readouterr().err
    return json.loads(trace.read_text().splitlines()[0])["loss"], capsys.readouterr().out


def refused(train, folder, capsys, *extra):
    assert train(f"train_set={folder}", "max_iters=1", "test_sets=[]", "val_sets=[]", *extra) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_low_side_is_what_is_trained_on(layout, train, tmp_path, capsys):
    high, low, name = LAYOUTS[layout]
    losses = []
    for shade in (0, 40):
        root = make(tmp_path / f"mine{shade}", high, low, name, shade=shade)
        loss, said = loss_of(train, root, tmp_path, capsys)
        assert f"train: 4 images, HR from {root / high}, LR from {root / low}" in said
        losses.append(loss)
    assert losses[0] != losses[1]


def test_both_sides_named(train, tmp_path, capsys):
    losses = []
    for shade in (0, 40):
        root = make(tmp_path / f"set{shade}", "sharp ones", "from the phone", shade=shade)
        spec = f"dict(gt='{root}/sharp ones', lq='{root}/from the phone')"
        loss, said = loss_of(train, spec, tmp_path, capsys)
        assert f"LR from {root}/from the phone" in said
        losses.append(loss)
    assert losses[0] != losses[1]
    assert "gt must be a path" in refused(train, "dict(lq='x')", capsys)
    assert "it has gd" in refused(train, "dict(gt='x', gd='y')", capsys)
    assert "no images and no LMDB" in refused(train, f"dict(gt='{tmp_path}/none')", capsys)


def test_both_sides_of_validation_and_test_sets_are_named(train, tmp_path, capsys):
    root = make(tmp_path / "own", "a", "b")
    sets = [f"val_sets=[dict(gt='{root}/a', lq='{root}/b', name='phone')]"]
    assert train("max_iters=1", "val_interval=1", "test_sets=[]", *sets) == 0
    said = capsys.readouterr().out
    assert f"validation phone: 4 images, HR from {root}/a, LR from {root}/b" in said
    assert "train: 6 images" in said
    assert "LR made by MATLAB's bicubic x2" in said


def test_names_that_differ_on_both_sides(train, tmp_path, capsys):
    root = make(tmp_path / "mine", "HR", "LR", "{n}_lr", gt_name="{n}_hr")
    assert f"LR from {root}/LR" in loss_of(train, root, tmp_path, capsys)[1]


@pytest.mark.parametrize(
    ("gt_name", "lq_name"),
    [
        ("{n}_hr_a", "{n}_lr_a"),
        ("caf\u00e9_{n}", "cafe\u0301_{n}"),  # as Linux and as macOS write it
        ("Canon_{n}_HR", "Canon_{n}_LR2"),
    ],
)
def test_names_that_differ_in_one_word(gt_name, lq_name, train, tmp_path, capsys):
    root = make(tmp_path / "mine", "HR", "LR", lq_name, gt_name=gt_name)
    assert f"LR from {root}/LR" in loss_of(train, root, tmp_path, capsys)[1]


def _link(root):
    (root / "LR").symlink_to("/not/mounted/LR")


def _other_format(root):
    (root / "LR").mkdir()
    (root / "LR" / "img_000.heic").write_bytes(b"\0\0\0\x18ftypheic")


def _nested_link(root):
    make(root, "HR", "LR_bicubic/X4", scale=4)
    (root / "LR_bicubic" / "X2").symlink_to("/not/mounted/X2")


def _archive(root):
    (root / "LR_x2.zip").write_bytes(b"PK")


def _low_right_here(root):
    make(root, "HR", "")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (_link, "LR: a link that leads nowhere"),
        (_nested_link, "X2: a link that leads nowhere"),
        (_other_format, "LR holds no images that are read"),
        (lambda root: (root / "LR").mkdir(), "LR holds no images that are read"),
        (_archive, "LR_x2.zip holds no images that are read"),
        (_low_right_here, "holds images that are not used"),
    ],
)
def test_bicubic_never_hides_a_low_side_that_is_not_read(what, said, train, tmp_path, capsys):
    root = make(tmp_path / "mine", "HR", "LR")
    shutil.rmtree(root / "LR")
    what(root)
    text = refused(train, root, capsys)
    assert said in text
    assert "make_lq='bicubic'" in text
    option = "train_dataloader.dataset.make_lq=bicubic"
    assert "LR made by MATLAB" in loss_of(train, root, tmp_path, capsys, option)[1]
    if what not in (_archive, _low_right_here, _nested_link):
        assert main(["data", "verify", str(root)]) == 1
        assert said in "".join(capsys.readouterr())
        command = ["data", "prepare", "folder", "--root", str(root), "--out", str(tmp_path / "o")]
        assert main([*command, "--scales", "2"]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["HR/train + LR/train/X2", "LR/x2/images", "a common suffix"])
def test_prepare_pairs_as_training_does(layout, train, tmp_path, capsys):
    high, low, name = LAYOUTS[layout]
    root, out = make(tmp_path / "mine", high, low, name), tmp_path / "data"
    command = ["data", "prepare", "folder", "--root", str(root), "--out", str(out)]
    assert main([*command, "--scales", "2"]) == 0, capsys.readouterr()
    said = loss_of(train, out / "mine", tmp_path, capsys)[1]
    assert f"train: 4 images, HR from {out}/mine/HR.lmdb, LR from {out}/mine/LR_unknown_X2" in said


def test_images_that_prepare_and_verify_would_not_use(tmp_path, capsys):
    root, out = make(tmp_path / "mine", "HR", "from phone"), str(tmp_path / "data")
    command = ["data", "prepare", "folder", "--root", str(root), "--out", out, "--scales", "2"]
    assert main(command) == 2
    assert f"{root}/from phone holds images that are not used" in capsys.readouterr().err
    assert not (tmp_path / "data" / "mine").exists()
    assert main(["data", "verify", str(root)]) == 1
    assert "from phone holds images that are not used" in "".join(capsys.readouterr())
    make(root, "HR", "LR")
    assert main(command) == 0
    assert f"{root}/from phone holds images that are not used" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "folders",
    [(("train_HR", "train_LR"), ("valid_HR", "valid_LR")), (("a/HR", "a/LR"), ("b/HR", "b/LR"))],
)
def test_prepare_takes_no_set_for_another(folders, train, tmp_path, capsys):
    for high, low in folders:
        make(tmp_path / "mine", high, low)
    command = ["data", "prepare", "folder", "--root", str(tmp_path / "mine")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "one by one" in capsys.readouterr().err
    assert "Name one of them" in refused(train, tmp_path / "mine", capsys)


@pytest.mark.parametrize(
    ("scale", "text"), [(1 / 2, "look swapped"), (1, "both sides are of one size")]
)
def test_sides_that_are_swapped_or_equal(scale, text, train, tmp_path, capsys):
    root = make(tmp_path / "mine", "HR", "LR", scale=scale)
    assert text in refused(train, root, capsys)


def test_the_tracks_of_div2k_lie_beside_each_other(train, tmp_path, capsys):
    name = "DIV2K_train_LR"
    for scale, low in ((2, f"{name}_bicubic/X2"), (4, f"{name}_mild"), (8, f"{name}_x8")):
        make(tmp_path, "DIV2K_train_HR", low, f"{{n}}x{scale}", scale=scale)
    for scale, low in ((2, "LR_bicubic/X2"), (8, "LR_x8")):
        options = [f"scale={scale}", f"data_root={tmp_path}", "lq_patch_size=8"]
        said = loss_of(train, "DIV2K_train", tmp_path, capsys, *options)[1]
        assert f"LR from {tmp_path}/DIV2K_train_{low}" in said


@pytest.mark.parametrize("value", ["[a,b]", "", "dict(gt='x', lq=[1])"])
def test_what_is_no_set(value, train, capsys):
    text = refused(train, value, capsys)
    assert "dict(gt=FOLDER, lq=FOLDER)" in text
    assert "operand" not in text


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


def test_score_finds_the_high_side_of_a_set(tmp_path, capsys):
    root = make(tmp_path / "mine", "GT", "LQ")
    assert main(["score", str(root / "GT"), str(root), "--scale", "2"]) == 0
    assert "mine x2" in capsys.readouterr().out


def test_images_that_would_not_be_used_are_named(train, tmp_path, capsys):
    root = make(tmp_path / "mine", "HR", "from phone")
    text = refused(train, root, capsys)
    assert f"{root}/from phone holds images that are not used" in text
    assert "dict(gt=" in text
    make(root, "HR", "LR")
    said = loss_of(train, root, tmp_path, capsys)[1]
    assert f"warning: train: {root}/from phone holds images that are not used" in said
    # LR beside a folder that is named itself
    assert "LR holds images that are not used" in refused(train, root / "HR", capsys)
    # What the message says to write is what helps.
    option = "train_dataloader.dataset.make_lq=bicubic"
    assert "LR made by MATLAB" in loss_of(train, root / "HR", tmp_path, capsys, option)[1]


def test_two_candidates(train, tmp_path, capsys):
    root = make(make(tmp_path / "mine", "HR", "LR"), "HR", "LR_x2")
    text = refused(train, root, capsys)
    assert f"{root}/LR and {root}/LR_x2 could all be the low-quality side" in text
    root = make(make(tmp_path / "spelt", "HR", "LR/X2"), "HR", "LR_x2")
    assert f"{root}/LR/X2 and {root}/LR_x2 could all be" in refused(train, root, capsys)
    root = make(make(tmp_path / "two", "HR", "LR"), "GT", "LR")
    assert "could all be the high-quality side" in refused(train, root, capsys)


def test_two_splits_in_one_folder(train, tmp_path, capsys):
    root = make(make(tmp_path / "mine", "train_HR", "train_LR"), "valid_HR", "valid_LR")
    assert "several sets are here (train_HR, valid_HR)" in refused(train, root, capsys)
    said = loss_of(train, root / "train", tmp_path, capsys)[1]
    assert f"LR from {root}/train_LR" in said


def test_a_missing_partner(train, tmp_path, capsys):
    root = make(tmp_path / "mine", "HR", "LR")
    (root / "LR" / "img_002.png").unlink()
    text = refused(train, root, capsys)
    assert "1 of 4 images" in text
    assert "img_002" in text
    (root / "HR" / "img_002.png").unlink()
    (root / "HR" / "img_003.png").unlink()
    said = loss_of(train, root, tmp_path, capsys)[1]
    assert "1 of 3 images of" in said, "a low image without a partner is said"


def test_a_wrong_scale(train, tmp_path, capsys):
    root = make(tmp_path / "mine", "HR", "LR", scale=4)
    text = refused(train, root, capsys)
    assert "img_000" in text
    assert "looks like x4" in text
    root = make(tmp_path / "other", "HR", "LR_x4", scale=4)
    assert "LR_x4" in refused(train, root, capsys)


def test_images_in_subfolders_only(train, tmp_path, capsys):
    root = make(tmp_path / "mine", "holiday", "family", scale=1)
    text = refused(train, root, capsys)
    assert "images in subfolders only (family, holiday)" in text
    assert "LR/X2" in text, "the layouts are listed"


def test_links_into_a_disk_that_is_gone(train, tmp_path, capsys):
    root = make(tmp_path / "mine", "HR", "LR")
    gone = root / "HR" / "img_009.png"
    (root / "LR" / "img_009.png").symlink_to("/not/mounted/0802.png")
    gone.symlink_to("/not/mounted/0802.png")
    assert "img_009.png: a link that leads nowhere" in refused(train, root, capsys)
    gone.unlink()
    os.mkfifo(gone)
    assert "img_009.png: a pipe" in refused(train, root, capsys)
    gone.unlink()
    gone.symlink_to(gone)
    assert "img_009.png: a link that leads nowhere" in refused(train, root, capsys)


def test_gone_images_in_the_other_commands(tmp_path, capsys):
    root = make(tmp_path / "mine", "HR", "LR")
    (root / "HR" / "gone.png").symlink_to("/not/mounted/0802.png")
    (root / "LR" / "gone.png").symlink_to("/not/mounted/0802.png")
    out = str(tmp_path / "out")
    commands = {
        ("data", "prepare", "folder", "--root", str(root), "--out", out, "--scales", "2"): 2,
        ("data", "pack", str(root / "HR"), str(tmp_path / "p.lmdb")): 2,
        ("data", "verify", str(root)): 2,
        ("score", str(root / "HR"), str(root / "HR"), "--scale", "2"): 1,
        ("upscale", str(root / "HR"), "--scale", "2", "-o", str(tmp_path / "large")): 1,
    }
    for command, code in commands.items():
        found = main(list(command))
        said = "".join(capsys.readouterr())
        assert found == code, (command, said)
        assert "gone" in said, command
    assert len(list((tmp_path / "large").iterdir())) == 4


def test_prepare_and_verify_see_the_same_pairs(train, tmp_path, capsys):
    root = make(tmp_path / "mine", "GT", "LQ")
    out = tmp_path / "data"
    assert main(["data", "prepare", "folder", "--root", str(root), "--out", str(out),
                 "--scales", "2"]) == 0  # fmt: skip
    said = loss_of(train, out / "mine", tmp_path, capsys)[1]
    assert f"LR from {out}/mine/LR_unknown_X2.lmdb" in said
    assert main(["data", "verify", str(root)]) == 0
    assert "unknown" in capsys.readouterr().out
