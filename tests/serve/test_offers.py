"""What a session offers: given files, and what comes with superres."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import superres.models  # noqa: F401 - registers the networks
from superres.checkpoints import save_safetensors, zoo
from superres.errors import UserError
from superres.registry import MODELS
from superres.serve.offers import Offers


@pytest.fixture
def shipped_weights(tmp_path, monkeypatch) -> Path:
    """edsr-s at x2 and x4, as if they had come with the package."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(zoo, "WEIGHTS", folder)
    for scale in (2, 4):
        config = {"type": "EDSR", "scale": scale, "channels": 4, "num_blocks": 1}
        torch.manual_seed(scale)
        save_safetensors(folder / f"edsr-s_x{scale}.safetensors", MODELS.build(config), config)
    return folder


def test_the_shipped_network_is_offered_with_its_scales(shipped_weights):
    offers = Offers(backend="torch")
    (offer,) = offers
    assert (offer.name, offer.scales, offer.choices) == ("edsr-s", (2, 4), (2, 3, 4))
    for scale, own in ((2, 2), (3, 4), (4, 4)):
        upscaler, notes = offers.upscaler(offer, scale, False)
        assert (upscaler.net.scale, upscaler.scale) == (own, scale)
        assert any(f"edsr-s x{own}" in note for note in notes)
        assert offers.upscaler(offer, scale, False)[0] is upscaler
    assert offers.get("edsr-s_x2") is None


def test_files_come_first_and_names_are_told_apart(shipped_weights, tmp_path):
    (tmp_path / "other").mkdir()
    first = shipped_weights / "edsr-s_x2.safetensors"
    second = shutil.copy(shipped_weights / "edsr-s_x4.safetensors", tmp_path / "other" / first.name)
    offers = Offers([str(first), str(second), str(first)])
    assert [offer.name for offer in offers] == [first.name, f"{first.name} (2)", "edsr-s"]
    assert [offer.scales for offer in offers] == [(2,), (4,), (2, 4)]


def test_a_file_that_does_not_tell_its_scale(shipped_weights, tmp_path):
    config = {"type": "VDSR", "channels": 4, "num_layers": 3}
    network = MODELS.build(config)
    names = {"conv_first": "input", "body.0": "residual_layer.0.conv", "conv_last": "output"}
    state = {
        f"{names[key.removesuffix('.weight')]}.weight": value
        for key, value in network.state_dict().items()
    }
    torch.save(state, tmp_path / "vdsr.pth")
    offers = Offers([str(tmp_path / "vdsr.pth")], backend="torch")
    offer = offers.get("vdsr.pth")
    assert offer.choices == (2, 3, 4)
    for scale in offer.choices:
        upscaler, _ = offers.upscaler(offer, scale, False)
        assert (upscaler.net.scale, upscaler.scale) == (scale, scale)


def test_nothing_to_offer_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)
    with pytest.raises(UserError, match="comes with superres"):
        Offers()
    (tmp_path / "bad.pth").write_text("<html>")
    with pytest.raises(UserError, match="web page"):
        Offers([str(tmp_path / "bad.pth")])
