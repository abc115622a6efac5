"""Several training sets with shares, lists of losses, sides that do not belong together."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter

import numpy as np
import pytest

from superres.cli.main import main
from superres.datasets.pack import pack_images
from superres.imaging.io import read_image, write_image

from .conftest import differences, read_trace
from .test_own_pairs import make

QUIET = ("test_sets=[]", "val_sets=[]")


def drawn(trace):
    return Counter(s["name"] for line in read_trace(trace) for s in line["samples"])


@pytest.mark.parametrize("extra", [(), ("train_dataloader.dataset.cache=cpu",)])
def test_several_sets_with_weights(extra, train, tmp_path, capsys):
    root = make(tmp_path / "own", "a", "b")
    sets = f"train_set=[train, dict(gt='{root}/a', lq='{root}/b', weight=3)]"
    trace = tmp_path / "trace.jsonl"
    assert train(sets, "max_iters=40", *QUIET, *extra, trace=trace) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert "train (set 1 of 2, 25.0% of the samples): 6 images, HR from" in said
    assert f"train (set 2 of 2, 75.0% of the samples): 4 images, HR from {root}/a, LR from" in said
    names = drawn(trace)
    assert 100 < sum(n for name, n in names.items() if name.startswith("img")) < 140
    if extra:  # the very samples, pixels and losses of the ordinary loader
        plain = tmp_path / "plain.jsonl"
        assert train(sets, "max_iters=40", *QUIET, trace=plain, work_dir=tmp_path / "w") == 0
        assert plain.read_text() == trace.read_text()


def test_a_resumed_run_of_several_sets_is_exact(train, tmp_path, capsys):
    make(tmp_path, "more", "unused")
    sets = (f"train_set=[train, dict(name='{tmp_path}/more', weight=0.5)]", *QUIET)
    lr = "train_dataloader.dataset.make_lq=bicubic"
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(*sets, lr, work_dir=whole) == 0, capsys.readouterr()
    assert train(*sets, lr, "max_iters=6", work_dir=parts) == 0
    assert train(*sets, lr, work_dir=parts, resume="auto") == 0
    assert "differs" not in capsys.readouterr().out
    assert not differences(whole / "iter_12.pth", parts / "iter_12.pth")


def test_without_weights_every_image_counts_alike(train, tmp_path, capsys):
    root = make(tmp_path / "own", "HR", "LR")
    trace = tmp_path / "trace.jsonl"
    sets = f"train_set=[train,{root}]"
    assert train(sets, "max_iters=5", *QUIET, trace=trace) == 0, capsys.readouterr()
    assert set(drawn(trace).values()) == {2}  # 20 samples of 10 images


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ("[train, dict(gt='{0}/a', weight=0)]", "weight = 0 must be a number above 0"),
        ("[train, dict(gt='{0}/a', weight='x')]", "weight = 'x' must be a number above 0"),
        ("[train, nowhere]", "the set 'nowhere' is not there"),
        ("dict(gt='{0}/a', wieght=3)", "it has wieght"),
        *((wrong, "dict(gt=FOLDER, lq=FOLDER)") for wrong in ("[a,b]", "", "dict(gt='x', lq=[1])")),
    ],
)
def test_what_is_no_set(sets, said, train, tmp_path, capsys):
    root = make(tmp_path / "own", "a", "b")
    assert train("train_set=" + sets.format(root), "max_iters=1", *QUIET) == 2
    assert said in capsys.readouterr().err


def test_one_set_as_a_string(train, world, capsys):
    sets = ("val_sets=valid", f"test_sets={world}/testset")
    assert train("max_iters=1", *sets) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert "validation valid: 2 images" in said
    assert "test testset: 2 images" in said


def test_a_list_of_losses(train, tmp_path, capsys):
    losses = "model.loss=[dict(type='L1Loss'), dict(type='L1Loss', loss_weight=3.0)]"
    found = []
    for option in ("model.loss=dict(type='L1Loss')", losses):
        trace = tmp_path / f"{len(found)}.jsonl"
        work = tmp_path / f"w{len(found)}"
        assert train(option, "max_iters=1", *QUIET, trace=trace, work_dir=work) == 0
        found.append(read_trace(trace)[0]["loss"])
    assert found[1] == pytest.approx(4 * found[0], rel=1e-5)
    assert main(["test", str(work / "config.py"), str(work / "iter_1.pth"), "--sets", "valid"]) == 0


def noisy(image):
    noise = np.random.default_rng(0).normal(0, 12, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


CHANGES = {
    "another image": lambda images, i: images[i - 1],
    "shifted by": lambda images, i: np.roll(images[i], 1, 1),
    "do not belong together": lambda images, i: np.roll(images[i], 12, 1),
    "": lambda images, i: noisy(images[i]),
}


@pytest.mark.parametrize("said", CHANGES)
def test_sides_that_do_not_belong_together(said, train, tmp_path, capsys):
    root = make(tmp_path / "mine", "HR", "LR", count=6)
    files = sorted((root / "LR").iterdir())
    images = [read_image(file) for file in files]
    for i, file in enumerate(files):
        write_image(file, CHANGES[said](images, i))
    options = (f"train_set={root}", "max_iters=1", *QUIET)
    code, out = train(*options), tmp_path / "out"
    text = capsys.readouterr()
    assert code == (2 if said else 0), text
    if said:
        assert said in text.err
        assert f"{root}/LR" in text.err
        assert train(*options, "train_dataloader.dataset.check_pairs=False") == 0
    work = tmp_path / "work"
    arguments = [str(work / "config.py"), str(work / "iter_1.pth"), "--sets", str(root)]
    assert main(["test", *arguments, "--out", str(out)]) == 0
    assert (f"{root}/LR" in capsys.readouterr().out) == bool(said)
    notes = json.loads((out / "results.json").read_text())["results"][0]["notes"]
    assert any(f"{root}/LR" in note and said in note for note in notes) == bool(said)
    assert main(["data", "verify", str(root)]) == bool(said)
    assert said in capsys.readouterr().out
    prepare = ["data", "prepare", "folder", "--root", str(root), "--out", str(tmp_path / "data")]
    assert main([*prepare, "--scales", "2"]) == bool(said)
    assert said in capsys.readouterr().out
    if said:
        valid = (f"val_sets={root}", "test_sets=[]", "max_iters=1")
        assert train(*valid) == 2


def test_a_pack_that_changes_during_a_training(train, tmp_path, world, capsys, monkeypatch):
    from superres.engine.train.trainer import Trainer

    pack_images(world / "train", tmp_path / "p.lmdb", num_workers=0)
    data = tmp_path / "p.lmdb" / "data.mdb"
    before = Trainer.save_checkpoint

    def save(trainer, iteration=None, keep=None):
        if iteration == 6:
            os.utime(data, ns=(0, 0))
        before(trainer, iteration, keep)

    monkeypatch.setattr(Trainer, "save_checkpoint", save)
    assert train(f"train_set={tmp_path}/p.lmdb", *QUIET) == 2
    said = capsys.readouterr().err
    assert f"{data}: was changed, replaced or removed while it was in use" in said
    assert "iter_3.pth" in said
    assert not (tmp_path / "work" / "iter_6.pth").exists()
    shutil.rmtree(tmp_path / "p.lmdb")
