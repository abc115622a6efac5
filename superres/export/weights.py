"""Weight files with range and residual scale folded in."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from superres.checkpoints.conversion import homogeneous
from superres.checkpoints.loading import LoadedWeights, build_network
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
    network = copy.deepcopy(build_network(loaded))  # it shares the tensors of `loaded`
    if config["type"] in ("EDSR", "MDSR"):
        network.fold_res_scale()
        if not config["attention"]:
            config["res_scale"] = 1.0
    state = {key: value.clone() for key, value in network.state_dict().items()}
    if config.get("img_range", 1) != 1 and homogeneous(config):
        for key in state:
            if key.endswith(".bias"):
                state[key] /= config["img_range"]
        config["img_range"] = 1.0
    if scale is not None and len(config.get("scales") or []) > 1:
        others = [f"{part}.{s}." for part in ("pre_process", "upsample") for s in config["scales"]]
        others = [prefix for prefix in others if not prefix.endswith(f".{scale}.")]
        state = {k: v for k, v in state.items() if not k.startswith(tuple(others))}
        config["scales"] = [scale]
    return state, config
