"""Networks of other channels than three, and of a user's own: they work, or end at the start."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
import torch

import superres
from superres.cli.main import main
from superres.datasets.pack import pack_images
from superres.imaging.io import read_image, write_image

from ..engine.conftest import CONFIG, ROOT, finish, picture, read_trace, start
from .conftest import failing

GREY = ["model.backbone.in_channels=1", "model.backbone.out_channels=1"]
TOLD = "the network takes 1 channel: images are read as grey, colour ones as luma"


@pytest.fixture
def grey_world(tmp_path, world):
    """The same images as grey PNGs."""
    for folder in ("train", "valid", "testset"):
        (tmp_path / "grey" / folder).mkdir(parents=True)
        for path in (world / folder).glob("*.png"):
            write_image(tmp_path / "grey" / folder / path.name, read_image(path, "grey"))
    return tmp_path / "grey"


def test_one_channel(train, tested, world, grey_world, tmp_path, capsys):
    """Grey images, colour images and packed colour images train the same network."""
    packed = tmp_path / "packed.lmdb"
    pack_images(world / "train", packed)
    traces = []
    for name, more in {
        "grey": [f"data_root={grey_world}"],
        "colour": [],
        "packed": [f"train_set={packed}"],
    }.items():
        work, trace = tmp_path / name, tmp_path / f"{name}.jsonl"
        capsys.readouterr()
        arguments = {"work_dir": work, "trace": trace}
        assert train("max_iters=6", "num_workers=1", *GREY, *more, **arguments) == 0
        said = capsys.readouterr().out
        assert said.count(TOLD) == 1
        assert said.index(TOLD) < said.index("iter")
        traces.append([line["loss"] for line in read_trace(trace)])
        best = str(work / "best.pth")
        out = tmp_path / f"{name}_test"
        entry = tested("--save-images", of=best, more=[*GREY, *more], out=out)["results"][-1]
        assert "images were read as grey, which is what the network takes" in entry["notes"]
        sr = read_image(out / "images/testset/x2/p20.png", channels="unchanged")
        assert sr.shape == (64, 72, 1)
        traces[-1].append(entry["psnr"])
    assert traces[0] == traces[1] == traces[2]
    for folder in (grey_world, world):
        target = tmp_path / f"{folder.name}.png"
        source = str(folder / "testset/p20.png")
        arguments = ["upscale", source, "--model", best, "-o", str(target), "--tile", "20"]
        assert main(arguments) == 0
        channels = 1 if folder == grey_world else 3
        assert read_image(target, "unchanged").shape == (128, 144, channels)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (("2", "2"), "takes 2 and makes 2 channels"),
        (("3", "1"), "takes 3 and makes 1 channels"),
        (("1", ""), "takes 1 and makes 3 channels"),
        (("0", "0"), "in_channels = 0 must be a whole number of at least 1"),
    ],
)
def test_impossible_counts(counts, said, options, tmp_path, capsys):
    keys = ("model.backbone.in_channels", "model.backbone.out_channels")
    changes = [f"{key}={count}" for key, count in zip(keys, counts) if count]
    # Before any data is looked for.
    command = ["train", CONFIG, "--work-dir", str(tmp_path / "work"), "--cfg-options", *options]
    error = failing([*command, *changes, "data_root=/nowhere"], capsys)
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "work").exists()
    if counts[0] == "2":  # nor is data that is told to be otherwise
        key = "train_dataloader.dataset.channels"
        told = failing([*command, *GREY, f"{key}=rgb"], capsys)
        assert f"{key} = 'rgb', but the network takes 1 channel" in told
        assert "takes 3 channels" in failing([*command, f"{key}=grey"], capsys)


NETWORK = """
import torch
from torch import nn
from superres.registry import MODELS

@MODELS.register_module(force=True)
class OwnNet(nn.Module):
    def __init__(self{arguments}):
        super().__init__()
        {body}
        self.conv = nn.Conv2d({channels}, {made} * 4, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x):
        {forward}
        return self.shuffle(self.conv(x))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """``own(**parts)``: the config of a network of one's own, whose module it writes."""
    modules = []

    def make(arguments=", scale=2", body="", channels=3, made=3, forward="", backbone=""):
        name = f"own_net_{tmp_path.name}"
        parts = {"arguments": arguments, "body": body, "channels": channels, "made": made}
        (tmp_path / f"{name}.py").write_text(NETWORK.format(forward=forward, **parts))
        modules.append(name)
        config = tmp_path / "own_x2.py"
        config.write_text(
            f"_base_ = {CONFIG!r}\ncustom_imports = dict(imports=[{name!r}])\n"
            f"model = dict(backbone=dict(_delete_=True, type='OwnNet', {backbone}))\n"
        )
        return str(config)

    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield make
    for name in modules:
        sys.modules.pop(name, None)


@pytest.fixture
def own_options(options):
    return [option for option in options if "backbone" not in option]


def trained(config, options, tmp_path, *more):
    work = tmp_path / "work"
    command = ["train", config, "--work-dir", str(work), "--cfg-options", *options, *more]
    assert main([*command, "max_iters=2", "val_interval=1"]) == 0
    return str(work / "best.pth")


@pytest.mark.parametrize("fixed", [False, True], ids=["takes a scale", "has a fixed one"])
def test_a_network_that_says_little_of_itself(own, own_options, fixed, tmp_path, capsys):
    """No receptive_radius, no in_channels, and either no attribute `scale` or no argument of it.

    One has a tensor outside its state dict, one a constructor that computes with numbers.
    """
    rates = "self.scale, self.rates = 2, torch.linspace(0, 1, 3).tolist()"
    mean = {"body": "self.mean = torch.full((1,), 0.4)", "forward": "x = x - self.mean"}
    config = own(arguments="", body=rates) if fixed else own(**mean)
    best = trained(config, own_options, tmp_path)
    out = tmp_path / "out"
    command = ["test", config, best, "--out", str(out), "--tile", "20", "--cfg-options"]
    assert main([*command, *own_options]) == 0
    record = json.loads((out / "results.json").read_text())
    assert {entry["method"] for entry in record["results"]} == {"OwnNet"}
    notes = record["results"][0]["notes"]
    blended = "tiles were blended and differ from the whole image"
    assert any(note.startswith(blended) and "overlap 32 px" in note for note in notes)
    source = tmp_path / "a.png"
    write_image(source, picture(3, 40, 70))
    results = {}
    for tile in ("off", "auto", "30"):
        target = tmp_path / f"{tile}.png"
        arguments = ["upscale", str(source), "--model", best, "-o", str(target), "--tile", tile]
        capsys.readouterr()
        assert main(arguments) == 0
        assert ("overlap 32 px" in capsys.readouterr().out) == (tile == "30")
        results[tile] = read_image(target)
        assert results[tile].shape == (80, 140, 3)
    assert np.array_equal(results["off"], results["auto"])
    # It sees one pixel, so an overlap of 32 px leaves nothing to be blended.
    assert np.abs(results["off"].astype(int) - results["30"]).max() <= 1
    model = superres.load_model(best, device="cpu")
    x = torch.rand(3, 9, 14)
    for to, name in (("safetensors", "net.safetensors"), ("torchscript", "net.pt")):
        assert main(["export", to, best, str(tmp_path / name)]) == 0
    assert main(["convert", best, str(tmp_path / "converted.safetensors")]) == 0
    # A process of its own knows the network by the module that it is told to import.
    command = [sys.executable, "-m", "superres", "upscale", str(source), "--model", best]
    command += ["-o", str(tmp_path / "again.png")]
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {"PYTHONPATH": paths, "SUPERRES_IMPORTS": f"own_net_{tmp_path.name}"}
    finish(start(command, **environment))
    assert np.array_equal(read_image(tmp_path / "again.png"), results["auto"])
    said = finish(start(command, PYTHONPATH=paths, SUPERRES_IMPORTS="nowhere_net"), code=2)
    assert "SUPERRES_IMPORTS: nowhere_net: No module named 'nowhere_net'" in said
    again = superres.load_model(tmp_path / "net.safetensors", device="cpu")
    whole, exported = (net.eval()(x[None]) for net in (model, again))
    assert torch.allclose(whole, exported)
    assert main(["models", "info", best]) == 0
    assert "the whole image, or not known" in capsys.readouterr().out


def test_a_forward_that_needs_numbers_has_no_costs(own, own_options, tmp_path, capsys):
    config = own(forward="x = x * 0 if x.mean().item() > 2 else x")
    best = trained(config, own_options, tmp_path)
    command = ["test", config, best, "--out", str(tmp_path / "out"), "--cfg-options", *own_options]
    assert main(command) == 0
    assert json.loads((tmp_path / "out/results.json").read_text())["costs"] == []
    assert "OwnNet cannot be summed up" in failing(["models", "info", best], capsys)
    write_image(tmp_path / "a.png", picture(3, 40, 70))
    command = ["upscale", str(tmp_path / "a.png"), "--model", best, "--backend", "torch"]
    assert main([*command, "--tile", "30", "-o", str(tmp_path / "larger.png")]) == 0


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"arguments": ""}, "OwnNet has no attribute `scale` and no argument of that name"),
        ({"body": "self.scale = 3"}, "OwnNet is for scale 3"),
        ({"body": "self.receptive_radius = 'many'"}, "receptive_radius = 'many' must be a number"),
        ({"channels": 3, "made": 1}, "takes 3 and makes 1 channels"),
        ({"channels": 1, "made": 3}, "takes 1 and makes 3 channels"),
        ({"forward": "x = x[:, :, :, 1:]"}, "makes (1, 3, 96, 94)"),
        (
            {"forward": "assert self.training or x.shape[3] % 8 == 0, 'sides must be 8'"},
            "OwnNet fails on an image of 36x32 px, as validation would: sides must be 8",
        ),
    ],
)
def test_what_would_end_the_first_validation_ends_at_the_start(
    own, own_options, parts, said, tmp_path, capsys
):
    work = tmp_path / "work"
    command = ["train", own(**parts), "--work-dir", str(work), "--cfg-options", *own_options]
    error = failing(command, capsys)
    assert said in error
    assert not list(work.glob("*.pth"))
