"""Small networks, and a cache of their own for the conversions of a test."""

from __future__ import annotations

import pytest
import torch

from superres.checkpoints.networks import full_config
from superres.registry import MODELS


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "converted"


@pytest.fixture
def build():
    """A small network of a type, in evaluation mode, as one that was loaded from a file."""

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
        config = {"type": type, **small.get(type, {}), **arguments}
        network = MODELS.build(config).eval()
        network.superres_config = full_config(config)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for name in ("weight", "bias", "running_mean", "running_var"):
                    getattr(module, name).data.uniform_(0.5, 1.5)
        return network

    return make
