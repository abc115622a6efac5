"""Benchmark tables of networks that only spandrel knows."""

import json

import pytest
import torch

from superres.cli.main import main

from ..cli.conftest import failing, options, world  # noqa: F401
from ..engine.conftest import CONFIG
from .test_spandrel import spandrel  # noqa: F401

CONFIG_X4 = CONFIG.replace("_x2", "_x4")


@pytest.fixture
def esrgan(spandrel, tmp_path):  # noqa: F811
    """A x2 network of another architecture than the config's, and its file."""
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(0)
    network = ESRGAN(in_nc=12, num_filters=8, num_blocks=1, shuffle_factor=2, plus=True).eval()
    torch.save({"params_ema": network.state_dict()}, tmp_path / "some_esrgan.pth")
    return tmp_path / "some_esrgan.pth", network


def test_a_table(esrgan, options, world, tmp_path, capsys):  # noqa: F811
    from superres.evaluation.protocols import evaluate_pair
    from superres.imaging.io import read_image
    from superres.imaging.resize import imresize

    path, network = esrgan
    arguments = ["test", CONFIG, str(path), "--out", str(tmp_path / "out"), "--report"]
    assert main([*arguments, "--sets", "testset", "--cfg-options", *options]) == 0
    assert "not the EDSR of the config" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["format"] == "spandrel"
    assert record["network"].pop("loaded_by").startswith("spandrel ")
    assert record["network"] == {"type": "ESRGAN", "scale": 2, "in_channels": 3}
    parameters = sum(p.numel() for p in network.parameters())
    assert [c["parameters"] for c in record["costs"]] == [record["parameters"]] == [parameters]
    (entry,) = record["results"]
    assert entry["method"] == "some_esrgan"
    assert "published" not in entry
    for image in entry["images"]:
        hr = read_image(world / "testset" / f"{image['name']}.png")
        lq = torch.from_numpy(imresize(hr, scale=0.5)).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            sr = network(lq)[0].permute(1, 2, 0).clamp(0, 1).mul(255).round().byte().numpy()
        assert image["psnr"] == pytest.approx(evaluate_pair(sr, hr, 2, "edsr-y")["psnr"], abs=0.01)


def test_another_scale_than_the_configs_is_told(esrgan, options, capsys):  # noqa: F811
    error = failing(["test", CONFIG_X4, str(esrgan[0]), "--cfg-options", *options], capsys)
    assert "these weights are for x2, not x4" in error


def test_asked_for_by_name(esrgan, options, capsys):  # noqa: F811
    given = ["--format", "spandrel", "--sets", "testset", "--self-ensemble", "--tile", "16"]
    assert main(["test", CONFIG, str(esrgan[0]), *given, "--cfg-options", *options]) == 0
    assert "some_esrgan+" in capsys.readouterr().out
