"""Weights to start a training from: all of them, or by the published rule those that fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config

from superres.checkpoints import LoadedWeights, read_weights, warm_start
from superres.checkpoints.conversion import homogeneous, rescaled
from superres.checkpoints.networks import full_config
from superres.checkpoints.state_dict import load_strictly
from superres.engine.config.network_check import network_differences
from superres.engine.config.values import to_plain
from superres.engine.run_log import RunLog
from superres.errors import ScaleNeeded, UserError

# What may differ: the scale is what a warm start is about, and how weights are drawn is past.
_FREE = {"scale", "scales", "init"}


def load_from(network: torch.nn.Module, cfg: Config, log: RunLog) -> None:
    """Fill a network from the weight file that a config's ``load_from`` names.

    Weights of the same scale must fit wholly. Those of another scale are copied where name and
    shape agree, and only the tail may differ: EDSR's x3 and x4 networks start from x2 so. The
    same goes for a file that holds a part of a network.

    Args:
        network: the backbone, changed in place.
        cfg: ``load_format`` may help with published files.
        log: told a summary, and in its file what became of each tensor.

    Raises:
        UserError: weights of another network, or of one that sees other numbers.
    """
    config, path = to_plain(cfg.model)["backbone"], cfg.load_from
    weight_format = cfg.get("load_format")
    try:
        try:
            loaded = read_weights(path, format=weight_format)
        except ScaleNeeded:  # weights for every scale, or a name or folder of several
            loaded = read_weights(path, format=weight_format, scale=_scales(config)[0])
    except UserError as error:
        hint = " In a config the format is load_format." if "format=" in str(error) else ""
        raise UserError(f"load_from {error}{hint}") from error
    log.say(f"starting from {loaded.summary}")
    loaded = _in_convention(config, loaded, log)
    if not loaded.partial and _scales(config) == _scales(loaded.config):
        load_strictly(network, loaded.state_dict, str(path))
        log.say(f"all {len(loaded.state_dict)} tensors copied")
        return
    started = warm_start(network, loaded.state_dict)
    outcomes = {"copied": started.copied, "left as initialised": started.kept}
    for outcome, keys in {**outcomes, "not used": started.unused}.items():
        for key in keys:
            log.debug(f"load_from: {outcome}: {key}")
    log.say(started.summary)


def _scales(config: Mapping[str, Any]) -> list[int]:
    full = full_config(config)
    return sorted(full["scales"]) if "scales" in full else [full.get("scale")]


def _in_convention(config: Mapping[str, Any], loaded: LoadedWeights, log: RunLog) -> LoadedWeights:
    """The weights, so that the config's network computes what they were trained to compute."""
    differing = network_differences(loaded.config, config, _FREE)
    if "type" in differing:
        theirs, ours = differing["type"]
        raise UserError(
            f"load_from {loaded.path}: its network is a {theirs}, the config's a {ours}"
        )
    if [*differing] == ["img_range"] and homogeneous(to_plain(full_config(loaded.config))):
        there, here = differing["img_range"]
        log.say(f"range 0..{there:g} folded to 0..{here:g}")
        state = rescaled(loaded.state_dict, here / there)
        return dataclasses.replace(loaded, state_dict=state)
    if differing:
        options = [
            f"model.backbone.{key}={str(found).replace(' ', '')}"
            for key, (found, _) in differing.items()
        ]
        raise UserError(
            f"load_from {loaded.path}: these weights are of another network than the config's, or "
            f"see other numbers. The config for them: --cfg-options {' '.join(options)}"
        )
    return loaded
