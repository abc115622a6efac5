"""Weights to start a training from: all of them, or by the published rule those that fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from superres.checkpoints import LoadedWeights, read_weights, warm_start
from superres.checkpoints.conversion import homogeneous, rescaled
from superres.checkpoints.formats.base import full_config
from superres.checkpoints.state import load_strictly
from superres.engine.config.values import same_argument, to_plain
from superres.errors import ScaleNeeded, UserError

# What may differ: the scale is what a warm start is about, and how weights are drawn is past.
_FREE = {"scale", "scales", "init"}
# Released EDSR files hold means that have been trained a little.


def load_from(
    network: torch.nn.Module,
    config: Mapping[str, Any],
    path: str,
    weight_format: str | None,
    say: Callable[[str], None],
    log: Callable[[str], None],
) -> None:
    """Fill a network from a weight file.

    Weights of the same scale must fit wholly. Those of another scale are copied where name and
    shape agree, and only the tail may differ: EDSR's x3 and x4 networks start from x2 so. The
    same goes for a file that holds a part of a network.

    Args:
        network: the backbone, changed in place.
        config: its config.
        path, weight_format: see :func:`superres.checkpoints.read_weights`.
        say: told a summary.
        log: told what became of each tensor.

    Raises:
        UserError: weights of another network, or of one that sees other numbers.
    """
    try:
        try:
            loaded = read_weights(path, format=weight_format)
        except ScaleNeeded:  # weights for every scale, or a name or folder of several
            loaded = read_weights(path, format=weight_format, scale=_scales(config)[0])
    except UserError as error:
        hint = " In a config the format is load_format." if "format=" in str(error) else ""
        raise UserError(f"load_from {error}{hint}") from error
    say(f"starting from {loaded.summary}")
    loaded = _in_convention(config, loaded, say)
    if not loaded.partial and _scales(config) == _scales(loaded.config):
        load_strictly(network, loaded.state_dict, str(path))
        say(f"all {len(loaded.state_dict)} tensors copied")
        return
    started = warm_start(network, loaded.state_dict)
    for outcome in ("copied", "kept", "unused"):
        for key in getattr(started, outcome):
            log(f"load_from: {_MEANING[outcome]}: {key}")
    say(started.summary)


_MEANING = {"copied": "copied", "kept": "left as initialised", "unused": "not used"}


def _scales(config: Mapping[str, Any]) -> list[int]:
    full = full_config(config)
    return sorted(full["scales"]) if "scales" in full else [full.get("scale")]


def _in_convention(
    config: Mapping[str, Any], loaded: LoadedWeights, say: Callable[[str], None]
) -> LoadedWeights:
    """The weights, so that the config's network computes what they were trained to compute."""
    wanted, found = to_plain(full_config(config)), to_plain(full_config(loaded.config))
    if wanted["type"] != found["type"]:
        raise UserError(
            f"load_from {loaded.path}: its network is a {found['type']}, the config's a "
            f"{wanted['type']}"
        )
    differing = [
        key
        for key in sorted({*wanted, *found} - _FREE - {"type"})
        if not same_argument(key, wanted.get(key), found.get(key))
    ]
    if differing == ["img_range"] and homogeneous(found):
        here, there = wanted["img_range"], found["img_range"]
        say(f"range 0..{there:g} folded to 0..{here:g}")
        state = rescaled(loaded.state_dict, here / there)
        return dataclasses.replace(loaded, state_dict=state)
    if differing:
        options = [f"model.backbone.{key}={_option(found.get(key))}" for key in differing]
        raise UserError(
            f"load_from {loaded.path}: these weights are of another network than the config's, or "
            f"see other numbers. The config for them: --cfg-options {' '.join(options)}"
        )
    return loaded


def _option(value: Any) -> str:
    return str(value).replace(" ", "")
