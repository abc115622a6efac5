"""From the config of a network, which may come from a file, to the network and its shapes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch

from superres.errors import UserError
from superres.inference.network import one_line
from superres.models.layers.backbone import on_meta, with_scale
from superres.registry import MODELS, registered


def build_named(config: Mapping[str, Any]) -> torch.nn.Module:
    """The network of a config that may come from a file, which is data and nothing more.

    Raises:
        UserError: its ``type`` is not the name of a registered network (nothing is imported or
            called for it), or takes no such arguments.
    """
    name = config.get("type")
    made = registered(MODELS, name)
    is_network = isinstance(made, type) and issubclass(made, torch.nn.Module)
    takes = inspect.signature(made).parameters if is_network else {}
    # Losses and restorers are registered beside the networks, but take no scale. A network of a
    # user's own may have a fixed one.
    library = is_network and made.__module__.startswith(("superres.", "mmengine."))
    if not is_network or (library and not {"scale", "scales"} & set(takes)):
        raise UserError(
            f"{str(name)[:80]!r} is the name of no network here; where it is one of your own, "
            "import its module first: custom_imports in a config, or SUPERRES_IMPORTS=MODULE in "
            "the environment of a command without one. Names are looked up, never run"
        )
    given = {key: value for key, value in config.items() if key != "type"}
    unknown = [str(key) for key in given if key not in takes]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        raise UserError(f"{name} takes no argument {unknown[0][:80]!r}")
    if not is_plain(given):
        raise UserError(f"the arguments of {name} are nested too deeply or too many")
    if not is_factor(given.get("res_scale", 1)):  # only multiplied with: any would build
        raise UserError(f"residual scale {given['res_scale']!r} is not a positive number")
    return with_scale(made(**given), config)


def build_meta(config: Mapping[str, Any]) -> torch.nn.Module:
    """The network of a config without memory for its weights."""
    return on_meta(lambda: build_named(config))


def network_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the network that ``config`` describes, in our names."""
    return {key: tuple(value.shape) for key, value in build_meta(config).state_dict().items()}


def full_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with the network's defaults filled in; UserError for a network not known here."""
    network = MODELS.get(config["type"])
    if network is None:
        raise UserError(f"{config['type']} is not a network of superres, nor one that is imported")
    arguments = inspect.signature(network.__init__).parameters.values()
    return {p.name: p.default for p in arguments if p.default is not p.empty} | dict(config)


def plain(value: Any) -> Any:
    """Plain dicts, lists and numbers, whatever the mappings were."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def is_factor(value: Any) -> bool:
    """Whether a value is a positive number, as a residual scale must be."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(0 < value < 1e9)


def is_plain(value: Any, depth: int = 8, budget: int = 10_000) -> bool:
    """Whether nested data is small enough to be some network's arguments.

    A pickle can hold a list of lists of lists that are one and the same, or that hold themselves:
    a few bytes, and walking through them takes for ever.
    """
    waiting = [(value, depth)]
    while waiting and budget:
        item, left = waiting.pop()
        budget -= 1
        if isinstance(item, Mapping | list | tuple):
            parts = list(item.values()) if isinstance(item, Mapping) else item
            if not left or len(parts) > budget:
                return False
            waiting += [(part, left - 1) for part in parts]
    return not waiting


def pick_device(device: str | torch.device) -> torch.device:
    """``device``, or for 'auto' the first CUDA device if there is one, else the CPU.

    Raises:
        UserError: there is no such device that PyTorch can use.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        fault = f"device {str(device)!r} cannot be used here ({one_line(error)})"
        raise UserError(f"{fault}; pass device='cpu', 'cuda' or 'cuda:1'") from error
    return torch.device(device)
