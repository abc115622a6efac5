"""A name and scores of a publication stand beside the published network and beside nothing else."""

from __future__ import annotations

import json

import pytest
import torch

from superres.checkpoints import read_weights
from superres.checkpoints.weight_files import sha256
from superres.cli.main import main
from superres.engine.config.load import load_config
from superres.engine.config.values import to_plain
from superres.engine.test import published_network
from superres.evaluation import published
from superres.imaging.io import read_image, write_image
from superres.imaging.resize import imresize
from superres.models.backbones.edsr import EDSR
from superres.registry import MODELS

from ..engine.conftest import CONFIG, picture
from .conftest import failing
from .test_test_trust import a_set

NAME = "EDSR-baseline"
FULL = ["model.backbone.channels=64", "model.backbone.num_blocks=16"]


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """``Set5`` and ``DIV2K_valid``, for whose protocols there are scores of EDSR-baseline."""
    monkeypatch.setitem(published.SIZES, "DIV2K", 1)
    monkeypatch.setattr(published, "TOLERANCE", float("inf"))
    hr = {f"i{n}": picture(n, 32, 36) for n in range(5)}
    a_set(tmp_path, "Set5", hr, {f"{n}x2": imresize(x, scale=0.5) for n, x in hr.items()})
    (tmp_path / "DIV2K_valid").mkdir()
    write_image(tmp_path / "DIV2K_valid" / "0801.png", picture(7, 32, 36))
    return tmp_path


@pytest.fixture
def scored(sets, options, capsys):
    """``scored(CONFIG, CHECKPOINT, *arguments, more=())``: the record and all that people see."""

    def run(config, checkpoint, *arguments, more=()):
        out = sets / "out"
        command = ["test", str(config), str(checkpoint), "--out", str(out), "--report"]
        command += ["--sets", "Set5", "DIV2K", "--protocols", "edsr-div2k", "mmediting-rgb"]
        capsys.readouterr()
        shown = [o for o in options if o.startswith("lq_patch_size")]
        command += [*arguments, "--cfg-options", f"data_root={sets}", *shown, *more]
        assert main(command) == 0
        seen = {"terminal": capsys.readouterr().out}
        for suffix in ("json", "md", "csv", "tex"):
            seen[suffix] = (out / f"results.{suffix}").read_text()
        seen["report"] = (out / "report.html").read_text()
        assert main(["table", str(out)]) == 0
        seen["merged"] = capsys.readouterr().out
        return json.loads(seen["json"]), seen

    return run


def standing_of(file, config=CONFIG):
    """What `superres test` takes a file for."""
    return published_network.standing_of_weights(load_config(str(config)), read_weights(file))


def is_own(record, seen, label):
    assert {entry["method"] for entry in record["results"]} == {label}
    assert not any("published" in entry for entry in record["results"])
    assert record["published_network"] is None
    for where, text in seen.items():
        assert NAME not in text, where
        assert "34.61" not in text, where  # DIV2K x2
        assert "35.7768" not in text, where  # Set5 x2 in RGB
        assert label in text, where


def notes(record):
    return "\n".join(note for entry in record["results"] for note in entry.get("notes", ()))


def test_another_width(train, scored, options, tmp_path):
    assert train("max_iters=2") == 0
    small = [o for o in options if "backbone" in o]
    record, seen = scored(CONFIG, tmp_path / "work/best.pth", more=small)
    is_own(record, seen, "EDSR 1x8")
    assert "channels 8 instead of 64; num_blocks 1 instead of 16" in notes(record)


def test_another_training_set(full, scored, tmp_path, capsys):
    """The config is the published one to the letter; what the checkpoint was trained on is not."""
    best = full / "best.pth"
    record, seen = scored(CONFIG, best)
    is_own(record, seen, "EDSR 16x64")
    assert record["train_set"] == "train"
    for said in ("train_set 'train' instead of 'DIV2K_train'", "images 6 instead of 800"):
        assert said in notes(record)
    arguments = ["test", CONFIG, str(best), "--published"]
    assert "not a published network" in failing(arguments, capsys)
    # As exports the same weights say nothing of their training.
    for to, name in (("safetensors", "best.safetensors"), ("edsr-pytorch", "best.pt")):
        file = tmp_path / name
        assert main(["convert", str(best), str(file), "--to", to]) == 0
        more = ["--format", "edsr-pytorch"] if to == "edsr-pytorch" else []
        record, seen = scored(CONFIG, file, *more)
        is_own(record, seen, "EDSR 16x64")
        assert "the file does not tell what it was trained on" in notes(record)
        # Where the user says that these are the published weights, that is said.
        record, seen = scored(CONFIG, file, *more, "--published")
        assert record["published_network"] == {"method": NAME, "by": "--published"}
        assert "published network as stated by --published" in notes(record)
        assert "34.61" in seen["md"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train_set": "photos"}, "train_set 'photos' instead of 'DIV2K_train'"),
        ({"model.loss.type": "MSELoss"}, "loss.type 'MSELoss' instead of 'L1Loss'"),
        ({"global_batch_size": 4}, "global_batch_size 4 instead of 16"),
        ({"param_scheduler.0.gamma": 0.1}, "param_scheduler.0.gamma 0.1 instead of 0.5"),
        ({"ema": 0.999}, "ema 0.999 instead of None"),
        ({"load_from": "x.pth"}, "load_from 'x.pth' instead of None"),
        ({"train_dataloader.dataset.make_lq": "none"}, "dataset.make_lq 'none'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_every_part_of_the_recipe_counts(published_run, changes, said):
    standing = standing_of(published_run(*(f"{key}={value}" for key, value in changes.items())))
    assert standing.method is None
    assert said in "; ".join(standing.why)


def test_the_published_network_has_its_name_and_scores(published_run, scored):
    checkpoint = published_run()
    record, seen = scored(CONFIG, checkpoint)
    assert {entry["method"] for entry in record["results"]} == {NAME}
    by = "the training that the checkpoint states"
    assert record["published_network"] == {"method": NAME, "by": by}
    for where, text in seen.items():
        assert NAME in text, where
        assert "34.61" in text, where
        assert "35.7768" in text, where
    # With a name of the user's the scores stay; with self-ensemble there are none.
    record, seen = scored(CONFIG, checkpoint, "--name", "mine")
    assert "34.61" in seen["md"]
    assert "| mine |" in seen["md"]
    record, seen = scored(CONFIG, checkpoint, "--self-ensemble")
    assert {entry["method"] for entry in record["results"]} == {f"{NAME}+"}
    assert "34.61" not in seen["md"]


@pytest.fixture(scope="module")
def full(options, tmp_path_factory):
    """The work dir of a short training of a network of the published size on a set of one's own."""
    folder = tmp_path_factory.mktemp("full")
    command = ["train", CONFIG, "--work-dir", str(folder), "--cfg-options", *options, *FULL]
    assert main([*command, "max_iters=1", "ema=None"]) == 0
    return folder


@pytest.fixture
def published_run(full, tmp_path):
    """A checkpoint as a whole training of the published config, changed or not, leaves it."""

    def make(*changes):
        state = torch.load(full / "iter_1.pth", weights_only=True)
        config = to_plain(load_config(CONFIG, list(changes)))
        state["meta"].update(config=config, iter=config["max_iters"], pictures=800)
        torch.save(state, tmp_path / f"iter_{config['max_iters']}.pth")
        return tmp_path / f"iter_{config['max_iters']}.pth"

    return make


@pytest.mark.parametrize(
    ("lq", "earlier", "said"),
    [
        ("DIV2K_train/LR_bicubic_X2.lmdb", ["max_iters=5"], ""),
        ("DIV2K_train_LR_unknown/X2", [], "low-quality images from DIV2K_train_LR_unknown/X2"),
        ("DIV2K_train/LR", [], "its training took low-quality images from DIV2K_train/LR"),
        ("LR_bicubic/X2", ["train_set=photos"], "train_set 'photos' instead of 'DIV2K_train'"),
    ],
)
def test_what_a_training_saw(published_run, lq, earlier, said):
    file = published_run()
    state = torch.load(file, weights_only=True)
    facts = {"config": to_plain(load_config(CONFIG, earlier)), "pictures": 800, "lq": []}
    state["meta"].update(lq=[lq], earlier=[facts] * len(earlier))
    torch.save(state, file)
    standing = standing_of(file)
    assert said in "; ".join(standing.why)
    assert (standing.method is None) == bool(said)


def test_a_resumed_training_remembers_what_it_was(train, tmp_path, world):
    (tmp_path / "mine/LR").mkdir(parents=True)
    (tmp_path / "mine/HR").symlink_to(world / "train")
    for image in (world / "train").iterdir():
        lq = imresize(read_image(image), scale=0.5)
        write_image(tmp_path / f"mine/LR/{image.name}", lq)
    mine = f"train_set={tmp_path / 'mine'}"
    assert train(mine, "max_iters=2") == 0
    for iterations in (3, 4):  # the same again is nothing new
        assert train("max_iters=4", resume=tmp_path / f"work/iter_{iterations - 1}.pth") == 0
    meta = torch.load(tmp_path / "work/iter_4.pth", weights_only=True)["meta"]
    assert meta["lq"] == []
    (before,) = meta["earlier"]
    assert before["lq"] == [str(tmp_path / "mine/LR")]
    assert before["config"]["train_set"] == str(tmp_path / "mine")
    assert before["pictures"] == 6


@pytest.mark.parametrize("name", ["edsr-baseline-x2.py", "EDSRbaseline x2.py", "config.py"])
def test_names_that_look_like_published_ones(name, full, tmp_path):
    (tmp_path / name).write_text(f"_base_ = {CONFIG!r}\npublished = None\n")
    of = load_config(str(tmp_path / name)), read_weights(full / "best.pth")
    assert published_network.method_label(*of, published.Standing(), False) == "EDSR 16x64"


def test_a_network_of_ones_own_by_the_name_of_a_published_one(published_run, scored, monkeypatch):
    file = published_run()
    Own = type("EDSR", (EDSR,), {"__module__": "mine"})
    monkeypatch.setitem(MODELS.module_dict, "EDSR", Own)
    record, seen = scored(CONFIG, file)
    is_own(record, seen, "EDSR 16x64")
    assert "one of your own by the name of EDSR" in notes(record)


def test_an_unfinished_training(published_run, tmp_path):
    file = published_run()
    state = torch.load(file, weights_only=True)
    state["meta"]["iter"] = 5000
    torch.save(state, tmp_path / "iter_5000.pth")
    assert "iterations 5000 instead of 300000" in standing_of(tmp_path / "iter_5000.pth").why[0]
    # The best weights of a training count as its result once its end lies beside them.
    torch.save(state, tmp_path / "best.pth")
    assert standing_of(tmp_path / "best.pth").method == NAME
    file.unlink()
    assert standing_of(tmp_path / "best.pth").method is None


def test_a_file_that_its_authors_publish(full, scored, tmp_path, monkeypatch):
    file = tmp_path / "edsr.pt"
    source = str(full / "best.pth")
    assert main(["convert", source, str(file), "--to", "edsr-pytorch"]) == 0
    content = json.loads(published.NETWORKS.read_text())
    for network in content["networks"]:
        if network["method"] == NAME and "edsr_pytorch" in network["tables"]:
            network["files"].append(sha256(file)[:8])
    (tmp_path / "networks.json").write_text(json.dumps(content))
    monkeypatch.setattr(published, "NETWORKS", tmp_path / "networks.json")
    published.load_networks.cache_clear()
    try:
        record, seen = scored(CONFIG, file, "--format", "edsr-pytorch")
    finally:
        published.load_networks.cache_clear()
    assert record["published_network"] == {"method": NAME, "by": "SHA-256 of the file"}
    assert "34.61" in seen["tex"]


def test_a_name_attracts_no_scores(train, scored, options, tmp_path, capsys):
    assert train("max_iters=2") == 0
    small = [o for o in options if "backbone" in o]
    record, seen = scored(CONFIG, tmp_path / "work/best.pth", "--name", NAME, more=small)
    assert not any("published" in entry for entry in record["results"])
    assert "34.61" not in seen["md"]
    assert "named by --name: not known to be the published network" in notes(record)
    # Nor does a folder's name, where results of any program are scored.
    folder = tmp_path / NAME
    (tmp_path / "out/images/DIV2K_valid/x2").rename(folder)
    command = ["score", str(folder), str(tmp_path / "DIV2K_valid"), "--scale", "2"]
    command += ["--protocol", "edsr-div2k"]
    capsys.readouterr()
    assert main(command) == 0
    assert "34.61" not in capsys.readouterr().out
    assert main([*command, "--published", NAME]) == 0
    said = capsys.readouterr().out
    assert "34.61" in said
    assert f"results of {NAME} as stated by --published" in said
    assert f"did you mean {NAME}" in failing([*command, "--published", "EDSR-basline"], capsys)


def test_the_shipped_configs_are_what_is_published():
    """What ``published_networks.json`` says of a method is what its config here trains."""
    from maintain import docs
    from superres.engine.config.load import shipped_configs
    from superres.engine.test.published_network import standing_of_training

    every = map(docs.Recipe, shipped_configs().values())
    recipes = [recipe for recipe in every if recipe.config.get("published")]
    assert len(recipes) > 50
    for recipe in recipes:
        assert standing_of_training(recipe.config).why == [], recipe.name
        assert docs.published(recipe), recipe.name


def test_the_table_at_the_end_of_a_training(train, tmp_path, capsys):
    write_image(tmp_path / "0801.png", picture(7))
    (tmp_path / "DIV2K_valid").mkdir()
    (tmp_path / "0801.png").rename(tmp_path / "DIV2K_valid/0801.png")
    assert train("max_iters=1", *FULL, f"val_sets=[{tmp_path / 'DIV2K_valid'}]") == 0
    said = capsys.readouterr().out
    assert "DIV2K_valid x2" in said
    assert "34.61" not in said
    assert NAME not in said
