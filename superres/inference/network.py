"""What inference asks of a network, and what it can tell about one."""

from __future__ import annotations

import sys
from typing import Any, Protocol

import numpy as np

from superres.errors import UserError


class Network(Protocol):
    """A network on arrays; the back ends are such, and `backends.as_network` makes one of a torch
    callable.

    Attributes:
        scale: output size over input size.
        receptive_radius: how far an output pixel looks, in input pixels; None where that is the
            whole image or not known.
        device: where it computes, ``'cpu'`` or ``'cuda:0'`` (also as a `torch.device`).
        bytes_per_pixel: memory that its work takes at the peak, per input pixel of one image.
    """

    scale: int
    receptive_radius: int | None
    device: Any
    bytes_per_pixel: float

    def run(self, x: np.ndarray) -> np.ndarray:
        """(N, C, h, w) float32 in [0, 1] to (N, C, h * scale, w * scale) float32, unclamped."""
        ...


def radius_of(net: object) -> int | None:
    """How far an output pixel of a network looks, in input pixels; None where that is not known,
    or the whole image."""
    return getattr(net, "receptive_radius", None)


def in_channels(net: object) -> int:
    """How many channels a network takes, as far as it can be told; else 3."""
    for name in ("in_channels", "input_channels"):
        if isinstance(getattr(net, name, None), int):
            return getattr(net, name)
    mean = getattr(getattr(net, "normalise", None), "mean", None)
    if mean is not None:
        return mean.shape[1]
    stated = getattr(net, "superres_config", {}).get("in_channels")
    if isinstance(stated, int):
        return stated
    torch = sys.modules.get("torch")  # without it this is no module of torch's
    layers = net.modules() if torch and isinstance(net, torch.nn.Module) else ()
    first = next((layer for layer in layers if isinstance(layer, torch.nn.Conv2d)), None)
    # A layer behind a pixel unshuffle, or the like, tells nothing.
    return 1 if first is not None and first.in_channels == 1 else 3


def run_checked(net: Network, x: np.ndarray) -> np.ndarray:
    """``net.run(x)``, after which the size is what ``net.scale`` promises."""
    y = net.run(x)
    expected = (x.shape[2] * net.scale, x.shape[3] * net.scale)
    if y.ndim != 4 or y.shape[2:] != expected:
        raise UserError(
            f"the network's scale is {net.scale}, so an input of {x.shape[3]}x{x.shape[2]} should "
            f"give {expected[1]}x{expected[0]} (width x height), but it gave {y.shape}"
        )
    return y
