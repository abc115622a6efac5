"""Weight initialisations that published recipes use."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from superres.errors import UserError

INITS = ("pytorch", "mmediting")


def check_init(init: str, *more: str) -> None:
    """UserError unless ``init`` is one of `INITS` or of ``more``, which one network has."""
    if init not in (*INITS, *more):
        raise UserError(f"init={init!r} is not known; choose one of {', '.join((*INITS, *more))}")


def kaiming_scaled(modules: Iterable[nn.Module], scale: float = 1.0) -> None:
    """Kaiming-normal (fan in, gain of ReLU) times ``scale`` for conv weights, zero biases.

    MMEditing's rule: 0.1 for the convolutions of residual blocks, 1 for those of the upsampler.
    """
    for module in modules:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            module.weight.data.mul_(scale)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
