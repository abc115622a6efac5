"""superres models: what there is, and what it costs."""

from __future__ import annotations

import json
import re

import pytest
import torch

from superres.checkpoints import save_safetensors
from superres.checkpoints.zoo import PUBLISHED
from superres.cli.main import main
from superres.registry import MODELS
from tests.engine.conftest import ROOT


def run_json(capsys, *arguments):
    assert main(["models", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_list_by_words(capsys):
    rows = run_json(capsys, "list", "edsr_x?c64*_div2k")
    assert [row["name"] for row in rows] == [f"edsr_x{s}c64b16_g1_300k_div2k" for s in (2, 3, 4, 8)]
    assert [row["parameters"] for row in rows] == [1_369_859, 1_554_499, 1_517_571, 1_665_283]
    (mdsr,) = run_json(capsys, "list", "MDSR", "x2x3x4c64b16")
    assert mdsr["scale"] == [2, 3, 4]
    assert mdsr["weights"] == "mdsr_baseline"
    assert main(["models", "list", "edsr_x4c256*"]) == 0
    assert "43.09" in capsys.readouterr().out


def test_names_of_weights_are_words(capsys):
    for word, config in {
        "edsr_baseline_x2": "edsr_x2c64b16_g1_300k_div2k",
        "edsr-s_x3": "edsr-s_x3c32b8_g1_12k_291",
        "edsr_mmediting_x4": "edsr-mmediting_x4c64b16_g1_300k_div2k",
    }.items():
        assert config in [row["name"] for row in run_json(capsys, "list", word)]
    assert main(["models", "list", "edrs_x4c64b16_g1_300k_div2k"]) == 2
    assert "edsr_x4c64b16_g1_300k_div2k" in capsys.readouterr().err


def test_the_list_has_a_line_per_method(capsys):
    """Each method and each file of weights in one line; with --all each config."""
    assert main(["models", "list"]) == 0
    short = capsys.readouterr().out
    (shipped,) = [line for line in short.splitlines() if "edsr-s " in line]
    assert re.search(r"x2 x3 x4 .*37\.54\* 33\.80\* 31\.50\* .*in the package", shipped)
    (rcan,) = [line for line in short.splitlines() if line.startswith("rcan")]
    assert "38.27 34.74 32.63 -" in rcan
    assert rcan.endswith("none")
    assert "ablation-" not in short
    assert main(["models", "list", "--all"]) == 0
    lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert {line.split()[0] for line in lines[1:]} == config_names()


def config_names():
    return {p.stem for p in (ROOT / "configs").rglob("*.py") if "_base_" not in p.parts}


def test_published_weights_belong_to_configs(capsys):
    assert {row["name"] for row in run_json(capsys, "list")} == config_names()
    assert {published.config for published in PUBLISHED.values()} <= {None, *config_names()}


def test_info_of_a_config(capsys):
    (info,) = run_json(capsys, "info", "edsr_x2c64b16_g1_300k_div2k")
    assert info["parameters"] == 1_369_859
    assert info["receptive_radius"] == 36
    assert info["output"] == [3, 720, 1280]
    assert round(info["flops"] / 2e9, 1) == 316.2
    assert main(["models", "info", "edsr_x2c64b16_g1_300k_div2k", "--size", "20x30"]) == 0
    text = capsys.readouterr().out
    for words in ("1,369,859", "73x73", "3x20x30 to 3x40x60", "activation memory", "upsample"):
        assert words in text


def test_info_of_several_scales(capsys):
    name = "mdsr_x2x3x4c64b16_g1_650k_div2k"
    infos = run_json(capsys, "info", name, "--size", "16x16")
    assert [info["scale"] for info in infos] == [2, 3, 4]
    (info,) = run_json(capsys, "info", name, "--size", "16x16", "--scale", "3")
    assert info == infos[1]
    assert main(["models", "info", name, "--scale", "8"]) == 2
    assert "x2, x3, x4" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["12", "0x4", "axb", "4x-4", "²x3", "1e3x5"])
def test_a_wrong_size_is_one_message(size, capsys):
    assert main(["models", "info", "edsr_x2c64b16_g1_300k_div2k", f"--size={size}"]) == 2
    assert "HEIGHTxWIDTH" in capsys.readouterr().err


def test_info_of_weights(capsys, tmp_path):
    config = {"type": "EDSR", "channels": 8, "num_blocks": 2, "scale": 3}
    network = MODELS.build(config)
    save_safetensors(tmp_path / "net.safetensors", network, config)
    hub = tmp_path / "hub"
    hub.mkdir()
    srcnn = MODELS.build({"type": "SRCNN", "channels": (8, 4)})
    torch.save(srcnn.state_dict(), hub / "srcnn.pth")
    assert main(["models", "info", str(hub), "--size", "8x9"]) == 2
    assert "--scale" in capsys.readouterr().err
    for path, module in ((tmp_path / "net.safetensors", network), (hub, srcnn)):
        (info,) = run_json(capsys, "info", str(path), "--size", "8x9", "--scale", "3")
        assert info["parameters"] == sum(p.numel() for p in module.parameters())
        assert info["output"] == [3, 24, 27]
    assert main(["models", "info", str(hub), "--scale", "3"]) == 0
    words = r"mmediting weights, SRCNN x3; .*\nnot in the file .*: scale, range, mean\n"
    assert re.search(words, capsys.readouterr().out)


def test_info_of_three_channels_to_one(capsys, tmp_path):
    small = {"channels": 8, "num_blocks": 2, "out_channels": 1}
    torch.save(MODELS.build({"type": "EDSR", **small}).state_dict(), tmp_path / "odd.pth")
    assert main(["models", "info", str(tmp_path / "odd.pth")]) == 0
    assert "; 1 channel of 3\n" in capsys.readouterr().out
    for words in (["upscale", "a.png", "--model"], ["test"]):
        assert main([*words, str(tmp_path / "odd.pth")]) == 2
        assert "makes 1 channel of 3 and cannot upscale" in capsys.readouterr().err


def test_info_of_a_published_name_looks_for_weights(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path))
    for words in (["edsr_baseline_x2"], ["edsr_baseline", "--scale", "2"]):  # nothing is fetched
        assert main(["models", "info", *words, "--size", "16x16"]) == 0
        said = capsys.readouterr().out
        assert "edsr_baseline_x2-1bc95232.pt, are not here: upscale -m edsr_baseline_x2" in said
        assert "1,369,859" in said
    (tmp_path / "edsr_baseline_x2-1bc95232.pt").write_bytes(b"<html>")
    assert main(["models", "info", "edsr_baseline_x2"]) == 2
    assert "edsr_baseline_x2-1bc95232.pt: this is a web page" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "a" * 400, "edsr_x5"])
def test_info_of_nothing(name, capsys):
    assert main(["models", "info", name]) == 2
    assert capsys.readouterr().err.startswith("error: config ")
