"""superres convert: there and back, with the check it makes itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from superres.checkpoints import load_model, save_safetensors
from superres.cli.main import main
from superres.models.backbones.edsr import EDSR
from superres.models.backbones.mdsr import MDSR
from tests.engine.conftest import ROOT


@pytest.fixture
def edsr(tmp_path):
    torch.manual_seed(0)
    config = {"type": "EDSR", "channels": 8, "num_blocks": 2, "scale": 2, "res_scale": 0.1}
    network = EDSR(**{k: v for k, v in config.items() if k != "type"})
    save_safetensors(tmp_path / "net.safetensors", network.state_dict(), config)
    return tmp_path / "net.safetensors", network.eval()


def output(network):
    with torch.no_grad():
        return network(torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    ("to", "options"),
    [
        ("edsr-pytorch", {"res_scale": 1.0}),
        ("mmediting", {}),
        ("basicsr", {}),
        ("safetensors", {}),
    ],
)
def test_there_and_back(to, options, edsr, tmp_path, capsys):
    path, network = edsr
    there, back = tmp_path / f"there-{to}", tmp_path / "back.safetensors"
    assert main(["convert", str(path), str(there), "--to", to]) == 0
    said = capsys.readouterr().out
    assert "EDSR x2" in said
    assert f"({to})" in said
    extra = [] if to == "safetensors" else ["--format", to]
    assert main(["convert", str(there), str(back), *extra]) == 0
    torch.testing.assert_close(output(load_model(back)), output(network), rtol=0, atol=1e-5)


def test_folding_is_told(edsr, tmp_path, capsys):
    path, _ = edsr
    assert main(["convert", str(path), str(tmp_path / "net.pth"), "--to", "mmediting"]) == 0
    said = capsys.readouterr().out
    assert "residual scale 0.1 folded" in said
    assert "0..255 folded to 0..1" in said


def test_mdsr_keeps_its_scales(tmp_path):
    config = {"type": "MDSR", "channels": 8, "num_blocks": 1, "scales": [2, 3, 4]}
    network = MDSR(channels=8, num_blocks=1).eval()
    save_safetensors(tmp_path / "net.safetensors", network.state_dict(), config)
    source, target = str(tmp_path / "net.safetensors"), str(tmp_path / "net.pt")
    assert main(["convert", source, target, "--to", "edsr-pytorch"]) == 0
    for scale in (2, 3, 4):
        network.set_scale(scale)
        back = load_model(target, scale=scale, format="edsr-pytorch")
        torch.testing.assert_close(output(back), output(network), rtol=0, atol=1e-5)


def test_mistakes_are_one_message(edsr, tmp_path, capsys):
    path, _ = edsr
    target = tmp_path / "net.pt"
    for arguments, words in (
        ([str(path), str(target)], "--to"),
        ([str(path), str(target), "--to", "nonsense"], "nonsense"),
        ([str(tmp_path / "absent.pt"), str(target), "--to", "basicsr"], "absent.pt"),
        ([str(path), str(target), "--to", "rcan"], "rcan"),
        ([str(path), str(target), "--to", "basicsr", "--scale", "4"], "x2, not x4"),
    ):
        assert main(["convert", *arguments]) == 2, arguments
        said = capsys.readouterr().err
        assert words in said
        assert "Traceback" not in said
        assert not target.exists()


def test_a_file_that_is_there_is_kept_unless_forced(edsr, tmp_path, capsys):
    path, _ = edsr
    target = tmp_path / "net.pth"
    target.write_text("precious")
    assert main(["convert", str(path), str(target), "--to", "basicsr"]) == 2
    assert "--force" in capsys.readouterr().err
    assert target.read_text() == "precious"
    assert main(["convert", str(path), str(target), "--to", "basicsr", "--force"]) == 0
    assert set(torch.load(target, weights_only=True)) == {"params"}


def test_the_tool_is_the_command(edsr, tmp_path):
    path, _ = edsr
    command = [sys.executable, str(ROOT / "tools/convert.py"), str(path), str(tmp_path / "b.pth")]
    done = subprocess.run([*command, "--to", "basicsr"], capture_output=True, text=True, check=True)
    assert "written" in done.stdout
