"""What a training checkpoint holds beside the weights, looked at before a run takes it over.

A checkpoint may come from anywhere. The kernels that update weights trust the sizes of what the
optimiser remembers: numbers for another size would be read and written beyond their end.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from superres.errors import UserError

from .optim import FORMS

LAST_ITERATION = 10**9
_LARGEST = 1e18
# What the optimisers of PyTorch keep for each weight; others are free in what they keep.
_LIKE_WEIGHTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg")
_ADAM = {"exp_avg", "exp_avg_sq"}


def check_meta(content: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """The record of the run that wrote a checkpoint.

    Raises:
        UserError: there is none, or it names no iteration.
    """
    meta = content.get("meta")
    done = meta.get("iter") if isinstance(meta, Mapping) else None
    if not isinstance(done, int) or isinstance(done, bool) or not 0 <= done <= LAST_ITERATION:
        raise UserError(
            f"{path}: no whole training checkpoint, its iteration is {str(done)[:40]}; resume from "
            "another"
        )
    return meta


def check_optimizer(optimizer: torch.optim.Optimizer, theirs: Any, path: str) -> None:
    """Compare an optimiser's state from a checkpoint with the one that is to take it over.

    Args:
        optimizer: of this run.
        theirs: of the checkpoint, as ``optimizer.state_dict()`` makes it.
        path: for the message.

    Raises:
        UserError: settings of another kind, or numbers for weights of another size.
    """
    shapes = [weight.shape for group in optimizer.param_groups for weight in group["params"]]
    wrong = _wrong_groups(optimizer.param_groups, theirs) or _wrong_state(theirs, shapes)
    if wrong:
        raise UserError(f"{path}: its optimiser state does not fit the config: {wrong}")


def check_schedule(saved: Any) -> None:
    """Whether a scheduler's state holds the numbers that it goes on from.

    Raises:
        ValueError: it does not.
    """
    for key in ("last_step", "_global_step"):
        if not isinstance(saved[key], int) or not -1 <= saved[key] <= LAST_ITERATION + 1:
            raise ValueError(f"{key} of its schedule is {str(saved[key])[:40]}")
    for key in ("base_values", "_last_value"):
        if not isinstance(saved[key], list) or not all(_same_kind(0.0, v) for v in saved[key]):
            raise ValueError(f"{key} of its schedule is {str(saved[key])[:40]}")


def _wrong_groups(own: list[dict[str, Any]], theirs: Any) -> str:
    if not isinstance(theirs, Mapping) or not isinstance(theirs.get("param_groups"), list):
        return "it has no param_groups"
    groups = theirs["param_groups"]
    if len(groups) != len(own):
        return f"{len(groups)} groups of weights, not {len(own)}"
    first = 0
    for mine, other in zip(own, groups, strict=True):
        numbers = list(range(first, first + len(mine["params"])))
        first += len(numbers)
        if not isinstance(other, Mapping) or other.get("params") != numbers:
            return "its groups are of other weights"
        for key in mine.keys() - {"params", *FORMS}:
            # Switches come with new versions of PyTorch; what is no switch was always there.
            if not _same_kind(mine[key], other.get(key)):
                return f"{key} = {str(other.get(key))[:40]}"
    return ""


def _same_kind(own: Any, other: Any) -> bool:
    switches = (bool, type(None))
    if isinstance(own, switches) or isinstance(other, switches):
        return isinstance(own, switches) and isinstance(other, switches)
    if isinstance(own, (list, tuple)):
        known = isinstance(other, (list, tuple)) and len(own) == len(other)
        return known and all(map(_same_kind, own, other))
    if isinstance(own, (int, float)):
        if isinstance(other, Tensor):  # of a run whose steps were recorded as a CUDA graph
            return _is_plain(other) and other.numel() == 1 and _same_kind(own, other.item())
        return isinstance(other, (int, float)) and abs(other) < _LARGEST and isfinite(other)
    if isinstance(own, Tensor):
        return _same_kind(0.0, other)
    return isinstance(other, type(own))


def _wrong_state(theirs: Mapping[str, Any], shapes: list[torch.Size]) -> str:
    state = theirs.get("state")
    if not isinstance(state, Mapping):
        return "it has no state"
    amsgrad = any(group.get("amsgrad") for group in theirs["param_groups"])
    needed = _ADAM | ({"max_exp_avg_sq"} if amsgrad else set())
    for index, kept in state.items():
        if not isinstance(index, int) or not 0 <= index < len(shapes):
            return f"it is about a weight {str(index)[:40]}"
        if not isinstance(kept, Mapping):
            return f"of weight {index} it keeps no mapping"
        if kept.keys() & _ADAM and (lacks := needed - kept.keys()):
            return f"of weight {index} it lacks {', '.join(sorted(lacks))}"
        for name, value in kept.items():
            fault = _wrong_entry(name, value, shapes[index])
            if fault:
                return f"{name} of weight {index} is {fault}"
    return ""


def _wrong_entry(name: str, value: Any, shape: torch.Size) -> str:
    if name == "step":
        single = isinstance(value, Tensor) and _is_plain(value) and value.numel() == 1
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return "" if single or number else "no number"
    first_step = name == "momentum_buffer" and value is None
    if name not in _LIKE_WEIGHTS or first_step:
        return ""
    if not isinstance(value, Tensor) or not _is_plain(value):
        return "no dense tensor"
    return "" if value.shape == shape else f"{tuple(value.shape)}, not {tuple(shape)}"


def _is_plain(value: Tensor) -> bool:
    dense = value.layout is torch.strided and not value.is_nested and not value.is_quantized
    return dense and not value.is_meta and value.is_floating_point()
