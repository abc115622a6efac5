"""Two folders of a user's own, in the layouts that people have: trained, named, and refused."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from superres.cli.main import main
from superres.imaging.io import write_image
from superres.imaging.resize import imresize

from .conftest import picture

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


def test_images_that_would_not_be_used_are_named(train, tmp_path, capsys):
    root = make(tmp_path / "mine", "HR", "from phone")
    text = refused(train, root, capsys)
    assert f"{root}/from phone holds images that would not be used" in text
    assert "dict(gt=" in text
    make(root, "HR", "LR")
    said = loss_of(train, root, tmp_path, capsys)[1]
    assert f"warning: train: {root}/from phone holds images and is not used" in said
    # LR beside a folder that is named itself
    assert "would not be used" in refused(train, root / "HR", capsys)
    # What the message says to write is what helps.
    option = "train_dataloader.dataset.make_lq=bicubic"
    assert "LR made by MATLAB" in loss_of(train, root / "HR", tmp_path, capsys, option)[1]


def test_two_candidates(train, tmp_path, capsys):
    root = make(make(tmp_path / "mine", "HR", "LR"), "HR", "LR_x2")
    text = refused(train, root, capsys)
    assert f"{root}/LR and {root}/LR_x2 could all be the low-quality side" in text
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
