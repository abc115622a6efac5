"""What can be known to be wrong with a network before it is built, and what data it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from mmengine.config import Config

from superres import registry
from superres.checkpoints.networks import full_config
from superres.errors import UserError
from superres.models.layers.backbone import on_meta, with_scale

from .types import accepted_arguments, blame, find_type, of_its_kind
from .values import same_argument, scales_of, to_plain

_SIDE = 48
"""Of the images, without numbers in them, that a network of one's own is tried on."""
_KINDS = {1: "grey", 3: "rgb"}


def network_differences(
    found: Mapping[str, Any],
    wanted: Mapping[str, Any],
    ignored: Collection[str] = (),
    same: Callable[[str, Any, Any], bool] = same_argument,
) -> dict[str, tuple[Any, Any]]:
    """In what two configs of networks differ, with today's defaults written out.

    Args:
        found, wanted: networks' configs; of two types that is all that is said.
        ignored: arguments that may differ.
        same: whether an argument's two values are the same.

    Returns:
        The values of both by argument.
    """
    if found.get("type") != wanted["type"]:
        return {"type": (found.get("type"), wanted["type"])}
    ours, theirs = to_plain(full_config(found)), to_plain(full_config(wanted))
    return {
        key: (ours.get(key), theirs.get(key))
        for key in sorted({*ours, *theirs} - {"type", *ignored})
        if not same(key, ours.get(key), theirs.get(key))
    }


def check_network(cfg: Config) -> int | None:
    """The backbone's arguments are of their kinds, it can be built, and images fit it.

    Returns:
        The channels it takes, 1 or 3; None where that cannot be known.

    Raises:
        UserError: naming the key.
    """
    node = to_plain(cfg.model).get("backbone")
    if not isinstance(node, dict) or find_type(node.get("type")) is None:
        return None
    cls = find_type(node["type"])
    ours = cls.__module__.startswith("superres.")
    parameters = inspect.signature(cls).parameters
    if ours:  # others' defaults may mean something else
        for key, value in node.items():
            if key in parameters and key not in ("scale", "scales"):
                kind = of_its_kind(value, parameters[key].default)
                if kind is not None:
                    raise UserError(f"config: model.backbone.{key} = {value!r} must be {kind}")
    full = full_config(node)
    stated = [full[key] for key in ("in_channels", "out_channels") if type(full.get(key)) is int]
    if stated:
        _require_channels("model.backbone", stated[0], stated[-1])
    with blame("model.backbone", node):
        network = on_meta(lambda: with_scale(registry.MODELS.build(node), node))
    if ours:
        return stated[0] if stated else None
    scales = list(getattr(network, "scales", None) or [network.scale])
    if not set(scales_of(cfg)) <= set(scales):
        raise UserError(
            f"config: model.backbone: {node['type']} is for scale {' and '.join(map(str, scales))}"
            f", by its attribute `scale`, and the config has scale = {to_plain(cfg.scale)}"
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
                f"config: model.backbone: of (1, {channels}, {_SIDE}, {_SIDE}) {name} makes "
                f"{shape}; at its scale of {network.scale} the last two must be {wanted}"
            )
        _require_channels(f"model.backbone: {name}", channels, shape[1])
        return channels
    return stated[0] if stated else None


def _require_channels(where: str, takes: int, makes: int) -> None:
    if takes not in _KINDS or takes != makes:
        raise UserError(
            f"config: {where} takes {takes} and makes {makes} channels; images are read as RGB "
            "(3) or grey (1), so in_channels and out_channels must both be 3 or both be 1"
        )


def follow_channels(cfg: Config, channels: int | None) -> None:
    """Have images read with the channels that the network takes, in training and evaluation.

    Raises:
        UserError: the config states others.
    """
    if channels is None:
        return
    wanted = _KINDS[channels]
    dataset = cfg.train_dataloader["dataset"]
    nodes = {"train_dataloader.dataset": dataset, "eval_dataset": cfg.get("eval_dataset") or {}}
    if isinstance(dataset.get("dataset"), dict):  # of a MultiScaleDataset
        nodes["train_dataloader.dataset.dataset"] = dataset["dataset"]
    for path, node in nodes.items():
        stated = node.get("channels")
        if stated not in (None, wanted):
            raise UserError(
                f"config: {path}.channels = {stated!r}, but the network takes {channels} "
                f"channel{'s' * (channels > 1)}; remove the key: images follow the network"
            )
        takes = accepted_arguments(node) or () if "type" in node else ("channels",)
        if wanted == "grey" and "channels" in takes:
            node["channels"] = wanted
    if wanted == "grey":
        cfg.eval_dataset = nodes["eval_dataset"]
