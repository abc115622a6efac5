"""superres convert: what it says, and what it leaves alone; formats are tests/checkpoints."""

from __future__ import annotations

import pytest
import torch

from superres.checkpoints import save_safetensors
from superres.cli.main import main
from superres.registry import MODELS


@pytest.fixture
def path(tmp_path):
    config = {"type": "EDSR", "channels": 8, "num_blocks": 2, "scale": 2, "res_scale": 0.1}
    return str(save_safetensors(tmp_path / "net.safetensors", MODELS.build(config), config))


def test_there_and_back(path, tmp_path, capsys):
    there, back = str(tmp_path / "there.pth"), str(tmp_path / "back.safetensors")
    assert main(["convert", path, there, "--to", "mmediting"]) == 0
    said = capsys.readouterr().out
    for words in ("EDSR x2", "(mmediting)", "residual scale 0.1 folded", "0..255 folded to 0..1"):
        assert words in said
    assert main(["convert", there, back, "--format", "mmediting"]) == 0
    assert "(safetensors); read back, its output differs by 0.0e+00" in capsys.readouterr().out


def test_mistakes_are_one_message(path, tmp_path, capsys):
    target = tmp_path / "net.pt"
    for arguments, words in (
        ([path, str(target)], "--to"),
        ([path, str(target), "--to", "nonsense"], "nonsense"),
        ([str(tmp_path / "absent.pt"), str(target), "--to", "basicsr"], "absent.pt"),
        ([path, str(target), "--to", "rcan"], "rcan"),
        ([path, str(target), "--to", "basicsr", "--scale", "4"], "x2, not x4"),
    ):
        assert main(["convert", *arguments]) == 2, arguments
        said = capsys.readouterr().err
        assert words in said
        assert "Traceback" not in said
        assert not target.exists()


def test_a_file_that_is_there_is_kept_unless_forced(path, tmp_path, capsys):
    target = tmp_path / "net.pth"
    target.write_text("precious")
    assert main(["convert", path, str(target), "--to", "basicsr"]) == 2
    assert "--force" in capsys.readouterr().err
    assert target.read_text() == "precious"
    assert main(["convert", path, str(target), "--to", "basicsr", "--force"]) == 0
    assert set(torch.load(target, weights_only=True)) == {"params"}
