"""What can be known to be wrong with a config before anything is built.

Each check raises one :class:`~superres.errors.UserError` that names the key.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

import torch
from mmengine.config import Config

from superres import registry
from superres.checkpoints.networks import full_config
from superres.errors import UserError
from superres.models.layers.backbone import on_meta, with_scale

from .ecosystem import ITERATIONS, OPTIMISER, type_name
from .values import (
    KIND_OF,
    MISSING,
    PLACE,
    accepted_arguments,
    blame,
    check_types,
    find_type,
    get,
    require,
    scales_of,
    to_plain,
    use_scope,
    walk,
)

_TAKES = {
    "optim_wrapper.clip_grad": "type max_norm norm_type error_if_nonfinite foreach clip_value",
    "optim_wrapper.paramwise_cfg": "custom_keys bias_lr_mult bias_decay_mult norm_decay_mult "
    "dwconv_decay_mult flat_decay_mult bypass_duplicate",
    "auto_scale_lr": "enable base_batch_size",
}
"""The keys of dicts that whoever reads them does not check."""

_SIDE = 48
"""Of the images, without numbers in them, that a network of one's own is tried on."""
_BY_DEFAULT = {int: "count", float: "number", bool: "yes or no"}
_CHANNELS = {1: "grey", 3: "rgb"}
_MEAN_TOLERANCE = 0.01


def check_config(cfg: Config, world_size: int = 1) -> None:
    """All checks that need no data. Run before a model or a dataset is built.

    The channels that images are read with are put into the config: those of the network.

    Raises:
        UserError: naming the key.
    """
    use_scope()
    for key in ("model", "train_dataloader.dataset", "optim_wrapper", "scale"):
        if get(cfg._cfg_dict, key) is MISSING:
            raise UserError(f"config: missing key {key!r}; start from configs/_base_")
    check_shapes(cfg)
    check_scale(cfg)
    check_batch(cfg, world_size)
    check_types(cfg)
    follow_channels(cfg, check_network(cfg))


def check_shapes(cfg: Config) -> None:
    """What must be a dict, a list, a path or a number is one.

    Raises:
        UserError: naming the key.
    """
    stated = dict(walk(cfg))
    for path, value in stated.items():
        if kind := KIND_OF.get(PLACE.sub(".*", path)):
            require(path, value, kind)
    for path, known in _TAKES.items():
        if unknown := [key for key in stated.get(path) or () if key not in known.split()]:
            known = known.replace(" ", ", ")
            raise UserError(f"config: {path} has no key {unknown[0]!r}; known: {known}")
    for i, entry in enumerate(stated.get("param_scheduler") or ()):
        if entry.get("by_epoch", True):  # mmengine's default
            raise UserError(f"config: param_scheduler.{i}: {ITERATIONS}; write by_epoch=False")
    if stated.get("train_dataloader.dataset.pipeline") == []:
        raise UserError("config: train_pipeline is empty; PackInputs is its last step")
    if "optim_wrapper.optimizer.type" not in stated:
        raise UserError(f"config: optim_wrapper has no optimizer with a type; {OPTIMISER}")
    if type_name(cfg.optim_wrapper.get("type")) in ("AmpOptimWrapper", "ApexOptimWrapper"):
        hint = "write 'OptimWrapper' without loss_scale and dtype, and amp = True at the top"
        raise UserError(f"config: optim_wrapper.type = {cfg.optim_wrapper.type!r}: {hint}")


def check_scale(cfg: Config) -> None:
    """Everything that states a scale agrees with the one at the top.

    Raises:
        UserError: a scale that is not a positive whole number, or two that differ.
    """
    scale, scales = cfg["scale"], scales_of(cfg)
    if not scales or not all(type(s) is int and s > 0 for s in scales):
        raise UserError(f"config: scale = {scale!r} must be a whole number such as 2, 3 or 4")
    for path, value in walk(cfg):
        stated = path.endswith((".scale", ".scales"))
        if stated and not {*(value if isinstance(value, list | tuple) else [value])} <= {*scales}:
            what = f"config: {path} = {value!r} disagrees with scale = {scale!r}"
            raise UserError(f"{what}. Write it once, at the top: it reaches every part")


def check_batch(cfg: Config, world_size: int = 1) -> None:
    """The batch divides among the ranks and into parts.

    Raises:
        UserError: naming the key.
    """
    parts = cfg.get("accumulate", 1)
    batch, share = cfg.get("global_batch_size", world_size), world_size * parts
    if batch % share:
        of = f"{world_size} processes" + (f", each in accumulate = {parts} parts" * (parts > 1))
        what = f"config: global_batch_size = {batch} cannot be shared equally by {of}"
        raise UserError(f"{what}; choose a multiple of {share}")


def scale_lr(cfg: Config) -> str:
    """Apply the linear rule (Goyal et al., 2017) in place, where the config asks for it.

    ``auto_scale_lr = dict(enable=True, base_batch_size=16)`` multiplies the optimiser's ``lr`` by
    ``global_batch_size / base_batch_size``. The key then goes, so that a run from the saved config
    does not scale twice.

    Returns:
        What was done, in one line; '' where nothing was.

    Raises:
        UserError: no base batch size, or no rate to scale.
    """
    wanted = cfg.get("auto_scale_lr") or {}
    if not wanted.get("enable"):
        return ""
    base = require("auto_scale_lr.base_batch_size", wanted.get("base_batch_size"), "count")
    before = require("optim_wrapper.optimizer.lr", cfg.optim_wrapper.optimizer.get("lr"), "number")
    factor = cfg.global_batch_size / base
    cfg.optim_wrapper.optimizer.lr = before * factor
    cfg.pop("auto_scale_lr")
    batch = f"batch {cfg.global_batch_size} is {factor:g} times the base batch {base}"
    return f"auto_scale_lr: {batch}: learning rate {before:g} becomes {before * factor:g}"


# -- the network -----------------------------------------------------------------------------------


def network_differences(
    found: Mapping[str, Any], wanted: Mapping[str, Any], ignored: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """In what two configs of networks differ, with today's defaults written out.

    Args:
        found, wanted: networks' configs; of two types that is all that is said.
        ignored: arguments that may differ.

    Returns:
        The values of both by argument.
    """
    if found.get("type") != wanted["type"]:
        return {"type": (found.get("type"), wanted["type"])}
    ours, theirs = to_plain(full_config(found)), to_plain(full_config(wanted))
    for config in (ours, theirs):  # how images come to published networks is not in the network
        config.pop("studio_luma", None)
        if "interpolation" in config:
            config["interpolation"] = config["interpolation"].removesuffix("-mirror")
    means = ours.get("rgb_mean"), theirs.get("rgb_mean")
    if all(means) and all(abs(a - b) <= _MEAN_TOLERANCE for a, b in zip(*means)):
        theirs["rgb_mean"] = ours["rgb_mean"]  # one that was trained a little
    keys = sorted({*ours, *theirs} - {"type", *ignored})
    pairs = {key: (ours.get(key), theirs.get(key)) for key in keys}
    return {key: (here, there) for key, (here, there) in pairs.items() if here != there}


def check_network(cfg: Config) -> int | None:
    """The backbone can be built, and images fit it.

    Returns:
        The channels it takes, 1 or 3; None where that cannot be known.

    Raises:
        UserError: naming the key.
    """
    node = to_plain(cfg.model).get("backbone")
    cls = find_type(node.get("type")) if isinstance(node, dict) else None
    if cls is None:
        return None
    ours = cls.__module__.startswith("superres.")
    parameters = inspect.signature(cls).parameters
    for key, value in node.items() if ours else ():  # others' defaults may mean something else
        default = getattr(parameters.get(key), "default", None)
        if key not in ("scale", "scales") and (kind := _BY_DEFAULT.get(type(default))):
            require(f"model.backbone.{key}", value, kind)
    full = full_config(node)
    stated = [full[key] for key in ("in_channels", "out_channels") if type(full.get(key)) is int]
    if stated:
        _require_channels("model.backbone", stated[0], stated[-1])
    with blame("model.backbone", node):
        network = on_meta(lambda: with_scale(registry.MODELS.build(node), node))
    if ours:
        return stated[0] if stated else None
    where = f"config: model.backbone: {node['type']}"
    scales = list(getattr(network, "scales", None) or [network.scale])
    if not set(scales_of(cfg)) <= set(scales):
        of = f"is for scale {' and '.join(map(str, scales))}, by its attribute `scale`"
        raise UserError(f"{where} {of}, and the config has scale = {to_plain(cfg.scale)}")
    require(
        "model.backbone.receptive_radius", getattr(network, "receptive_radius", 0), "amount or None"
    )
    return _channels_of_own(network, stated[:1], node["type"])


def _channels_of_own(network: torch.nn.Module, stated: list[int], name: str) -> int | None:
    """Tried on torch's meta device, where sizes are known and nothing is computed."""
    network = network.to("meta").eval()
    for channels in stated or (3, 1):
        try:
            with torch.no_grad():
                result = network(torch.empty(1, channels, _SIDE, _SIDE, device="meta"))
            shape = tuple(result.shape)
        except Exception:  # of that network, or an operation that needs numbers
            continue
        wanted = _SIDE * network.scale
        if len(shape) != 4 or shape[2:] != (wanted, wanted):
            raise UserError(
                f"config: model.backbone: of (1, {channels}, {_SIDE}, {_SIDE}) {name} makes {shape}"
                f"; at its scale of {network.scale} the last two must be {wanted}"
            )
        _require_channels(f"model.backbone: {name}", channels, shape[1])
        return channels
    return stated[0] if stated else None


def _require_channels(where: str, takes: int, makes: int) -> None:
    if takes not in _CHANNELS or takes != makes:
        both = "in_channels and out_channels must both be 3 (RGB) or both be 1 (grey)"
        raise UserError(f"config: {where} takes {takes} and makes {makes} channels; {both}")


def follow_channels(cfg: Config, channels: int | None) -> None:
    """Have images read with the channels that the network takes, in training and evaluation.

    Raises:
        UserError: the config states others.
    """
    if channels is None:
        return
    wanted = _CHANNELS[channels]
    if wanted == "grey" and not cfg.get("eval_dataset"):
        cfg.eval_dataset = {}
    inner = "train_dataloader.dataset.dataset"  # of a MultiScaleDataset
    for path in ("train_dataloader.dataset", inner, "eval_dataset"):
        node = get(cfg._cfg_dict, path)
        if not isinstance(node, dict):
            continue
        stated = node.get("channels")
        if stated not in (None, wanted):
            takes = f"the network takes {channels} channel{'s' * (channels > 1)}"
            raise UserError(f"config: {path}.channels = {stated!r}, but {takes}; remove the key")
        takes = accepted_arguments(node) or () if "type" in node else ("channels",)
        if wanted == "grey" and "channels" in takes:
            node["channels"] = wanted
