"""Weight files with range and residual scale folded in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from superres.checkpoints.conversion import folded, homogeneous
from superres.checkpoints.loading import LoadedWeights
from superres.checkpoints.networks import full_config, plain
from superres.checkpoints.state_dict import State

SPANDREL_NETWORKS = ("EDSR", "MDSR", "DRLN", "SRCNN", "SRResNet", "MSRResNet", "RCAN", "VDSR")
"""What :func:`superres.interop.spandrel.install` offers, as ``superres-EDSR`` and so on."""


def config_tensor(config: Mapping[str, Any]) -> Tensor:
    """A config as the bytes of its JSON."""
    return torch.frombuffer(bytearray(json.dumps(plain(config)).encode()), dtype=torch.uint8)


def fold(loaded: LoadedWeights, scale: int | None = None) -> tuple[State, dict[str, Any]]:
    """The same network with residual scale 1 and numbers in 0..1, as far as that is exact.

    The residual scale goes into the blocks' second convolutions. 0..255 becomes 0..1 by dividing
    every bias, which needs a network without gates and batch norm. The mean colour stays in the
    config: convolutions pad with zeros after it is taken off, so no weight can hold it.

    Args:
        loaded: any weights.
        scale: of a network for several, the one to keep; the parts of the others are left out.

    Returns:
        State dict and config.
    """
    config = plain(full_config(loaded.config))
    wanted = dict(config)
    if "res_scale" in config and not config.get("attention"):
        wanted["res_scale"] = 1.0
    if "img_range" in config and homogeneous(config):
        wanted["img_range"] = 1.0
    state, config = folded(loaded.state_dict, config, wanted)[0], wanted
    if scale is not None and len(config.get("scales") or []) > 1:
        others = [f"{part}.{s}." for part in ("pre_process", "upsample") for s in config["scales"]]
        others = [prefix for prefix in others if not prefix.endswith(f".{scale}.")]
        state = {k: v for k, v in state.items() if not k.startswith(tuple(others))}
        config["scales"] = [scale]
    return state, config
