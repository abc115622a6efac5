"""Starting from other weights: all of them, or by the published rule those that fit."""

from __future__ import annotations

import json
import re

import pytest
import torch

from superres.checkpoints import convert, save_safetensors
from superres.cli.main import main
from superres.engine.train.checkpoint import read_checkpoint
from superres.models.backbones.edsr import EDSR

from .conftest import ROOT

SHAPE = {"channels": 8, "num_blocks": 1}


def config(scale: int) -> str:
    return str(ROOT / f"configs/edsr/edsr_x{scale}c64b16_g1_300k_div2k.py")


@pytest.fixture
def x2(tmp_path):
    """Weights of an x2 network: (file, state dict)."""
    torch.manual_seed(7)
    network = EDSR(scale=2, **SHAPE)
    path = tmp_path / "x2.safetensors"
    save_safetensors(path, network.state_dict(), {"type": "EDSR", "scale": 2, **SHAPE})
    return path, network.state_dict()


def start_from(train, work_dir, scale, path, *extra):
    """The weights before the first step: one is made at a learning rate of 0."""
    still = ["max_iters=1", "optim_wrapper.optimizer.lr=0.0", f"load_from={path}", *extra]
    assert train(*still, work_dir=work_dir, config=config(scale)) == 0
    state = read_checkpoint(work_dir / "iter_1.pth")["state_dict"]
    return {k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")}


def logged(work_dir):
    lines = [json.loads(line) for line in (work_dir / "log.jsonl").read_text().splitlines()]
    texts = [line["text"] for line in lines if line["mode"] == "event"]
    found = {}
    for text in texts:
        if text.startswith("load_from: "):
            _, outcome, key = text.split(": ")
            found.setdefault(outcome, set()).add(key)
    return found


@pytest.mark.parametrize(("scale", "new"), [(2, set()), (3, {"upsample.0"}), (4, {"upsample.1"})])
def test_what_fits_is_taken(train, x2, tmp_path, capsys, scale, new):
    path, weights = x2
    state = start_from(train, tmp_path / "work", scale, path)
    new = {f"{name}.upsample_conv.{kind}" for name in new for kind in ("weight", "bias")}
    for key in set(state) - new:
        assert torch.equal(state[key], weights[key]), key
    assert set(state) == set(weights) | new
    if scale == 2:
        assert f"all {len(weights)} tensors copied" in capsys.readouterr().out
        return
    found = logged(tmp_path / "work")
    assert found["copied"] == set(weights) - new
    assert found["left as initialised"] == new
    assert found.get("not used", set()) == set(weights) & new  # of another shape


def test_published_file_with_its_format(train, x2, tmp_path, capsys):
    path, weights = x2
    target = tmp_path / "x2.pt"
    convert(path, target, to="edsr-pytorch")
    assert train("max_iters=1", f"load_from={target}", config=config(4)) == 2
    said = capsys.readouterr().err
    assert "load_format" in said
    assert "super-image" in said
    state = start_from(train, tmp_path / "work", 4, target, "load_format=edsr-pytorch")
    assert torch.equal(state["conv_last.weight"], weights["conv_last.weight"])


def test_a_part_of_a_network(train, x2, tmp_path, capsys):
    path, weights = x2
    target, encoder = tmp_path / "x2.pt", tmp_path / "encoder.pth"
    convert(path, target, to="edsr-pytorch")
    state = torch.load(target, weights_only=True)
    torch.save({f"encoder.{k}": v for k, v in state.items() if "tail" not in k}, encoder)
    # It sees other numbers than the config's network: that is said, with what to set.
    assert train("max_iters=1", f"load_from={encoder}", config=config(2)) == 2
    said = capsys.readouterr().err
    options = [word for word in said.split() if word.startswith("model.backbone.")]
    assert {option.partition("=")[0] for option in options} == {
        "model.backbone.img_range",
        "model.backbone.rgb_mean",
        "model.backbone.rgb_std",
    }
    state = start_from(train, tmp_path / "work", 2, encoder, *options)
    assert torch.equal(state["body.0.conv1.weight"], weights["body.0.conv1.weight"])
    assert logged(tmp_path / "work")["left as initialised"] == {
        f"{layer}.{kind}"
        for layer in ("upsample.0.upsample_conv", "conv_last")
        for kind in ("weight", "bias")
    }


def test_weights_of_another_network(train, x2, tmp_path, capsys):
    path, _ = x2
    assert train(f"load_from={path}", "model.backbone.num_blocks=2", config=config(4)) == 2
    assert "model.backbone.num_blocks=1" in capsys.readouterr().err
    assert train(f"load_from={path}", "model.backbone.res_scale=0.1", config=config(2)) == 2
    assert "model.backbone.res_scale=1.0" in capsys.readouterr().err
    assert train(f"load_from={path}", "model.backbone.img_range=1.0", config=config(2)) == 2
    assert "model.backbone.img_range=255.0" in capsys.readouterr().err
    assert train("load_from=absent.pt", config=config(2)) == 2
    assert "absent.pt" in capsys.readouterr().err


def test_the_docs_example_of_weights_that_learn_otherwise(options, x2, tmp_path):
    page = (ROOT / "docs/configs.md").read_text()
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", page, re.S) if "freeze" in c)
    mine = f"_base_ = {config(2)!r}\n" + re.sub("load_from = .*", f"load_from = '{x2[0]}'", code)
    (tmp_path / "mine.py").write_text(mine)
    command = ["train", str(tmp_path / "mine.py"), "--work-dir", str(tmp_path / "work")]
    options = [*options, "param_scheduler=[]", "max_iters=2", "checkpoint_interval=1"]
    assert main([*command, "--cfg-options", *options]) == 0
    states = [read_checkpoint(tmp_path / f"work/iter_{n}.pth") for n in (1, 2)]
    for key, before in x2[1].items():
        frozen = key.startswith(("conv_first", "body."))
        after = [state["state_dict"][f"backbone.{key}"] for state in states]
        assert torch.equal(after[0], before) == torch.equal(*after) == frozen, key
    rates = {group["lr"] for group in states[1]["optimizer"]["param_groups"]}
    assert rates == {0.001, 0.01}


@pytest.mark.parametrize(
    ("patterns", "said"), [("[nosuch]", "'nosuch'; conv_first"), ("['*']", "no weight is left")]
)
def test_what_cannot_be_frozen(train, patterns, said, capsys):
    assert train(f"freeze={patterns}") == 2
    assert said in capsys.readouterr().err
