"""Small networks, and a cache of their own for the conversions of a test."""

from __future__ import annotations

import pytest
import torch

from superres.registry import MODELS


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "converted"


@pytest.fixture
def build():
    """A small network of a type, in evaluation mode."""

    def make(type="EDSR", **arguments):
        small = {
            "EDSR": {"channels": 8, "num_blocks": 2},
            "MDSR": {"channels": 8, "num_blocks": 2},
            "DRLN": {"channels": 8},
            "RCAN": {"channels": 8, "num_groups": 1, "num_blocks": 1},
            "SRResNet": {"channels": 8, "num_blocks": 1},
            "MSRResNet": {"channels": 8, "num_blocks": 1},
            "VDSR": {"in_channels": 3, "out_channels": 3, "channels": 8, "scale": 2},
        }
        torch.manual_seed(0)
        return MODELS.build({"type": type, **small.get(type, {}), **arguments}).eval()

    return make
