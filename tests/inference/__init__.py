"""Small networks for these tests."""

from __future__ import annotations

from typing import Any

import torch

from superres.checkpoints.networks import full_config
from superres.registry import MODELS

SMALL = {
    "EDSR": {"channels": 8, "num_blocks": 2},
    "MDSR": {"channels": 8, "num_blocks": 2},
    "DRLN": {"channels": 8},
    "RCAN": {"channels": 8, "num_groups": 1, "num_blocks": 1},
    "RDN": {"channels": 8, "num_blocks": 2, "num_layers": 2, "growth": 4},
    "RRDBNet": {"channels": 8, "num_blocks": 1, "growth": 4},
    "SRResNet": {"channels": 8, "num_blocks": 1},
    "SRVGGNetCompact": {"channels": 8, "num_convs": 2},
    "MSRResNet": {"channels": 8, "num_blocks": 1},
    "VDSR": {"in_channels": 3, "out_channels": 3, "channels": 8, "scale": 2},
}


def build(type: str = "EDSR", **arguments: Any) -> torch.nn.Module:
    """A small network of a type, in evaluation mode, as one that was loaded from a file."""
    torch.manual_seed(0)
    config = {"type": type, **SMALL.get(type, {}), **arguments}
    network = MODELS.build(config).eval()
    network.superres_config = full_config(config)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(module, name).data.uniform_(0.5, 1.5)
    return network
