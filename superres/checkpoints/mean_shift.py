"""Take a published mean shift, a pair of 1x1 convolutions, into the network's constants."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from superres.checkpoints.state_dict import State
from superres.errors import UserError

TOLERANCE = 1e-6


def fold_mean_shift(state: State, config: dict, shifts: Sequence[Tensor], where: str) -> list[str]:
    """Make ``state`` and ``config`` stand for the network between two given mean shifts.

    Older code trained the shift by accident, so it may be any 1x1 convolution. One that is the
    config's mean changes nothing. Otherwise: ``W x + b`` before the first convolution is
    ``W (x - mean)`` with ``mean = -W^-1 b``, and W goes into that convolution, exactly, the zero
    padding included; the one after the last convolution goes into that convolution.

    Args:
        state: in our names; changed in place.
        config: with ``rgb_mean`` and ``img_range``; ``rgb_mean`` is changed in place.
        shifts: weight (C, C, 1, 1) and bias (C,), in the units of ``img_range``, of the one that
            subtracts the mean and of the one that adds it.
        where: names the file in errors.

    Returns:
        Notes for the user, empty for the published constants.

    Raises:
        UserError: a trained shift in a network that adds its input to its output (VDSR), or one
            that cannot be undone.
    """
    span = config["img_range"]
    mean = torch.tensor(config["rgb_mean"], dtype=torch.float64)
    identity = torch.eye(len(mean), dtype=torch.float64)
    found = [value.double().flatten(min(1, value.ndim - 1)) for value in shifts]
    published = (identity, -mean * span, identity, mean * span)
    if all(
        torch.allclose(a, b, rtol=0, atol=TOLERANCE * (span if a.ndim == 1 else 1))
        for a, b in zip(found, published, strict=True)
    ):
        return []
    weight_in, bias_in, weight_out, bias_out = found
    if config["type"] == "VDSR" or torch.linalg.matrix_rank(weight_in) < len(mean):
        raise UserError(
            f"{where}: its mean shift was trained away from the published constants "
            f"({weight_in.tolist()}), in a way that this network cannot express"
        )
    mean = -torch.linalg.solve(weight_in, bias_in) / span
    first = state["conv_first.weight"].double()
    state["conv_first.weight"] = torch.einsum("oihw,ij->ojhw", first, weight_in).float()
    last, bias = state["conv_last.weight"].double(), state["conv_last.bias"].double()
    state["conv_last.weight"] = torch.einsum("ij,jchw->ichw", weight_out, last).float()
    state["conv_last.bias"] = (weight_out @ bias + bias_out - span * mean).float()
    config["rgb_mean"] = mean.tolist()
    return ["its mean shift differs from the published constants; kept exactly as it is"]
