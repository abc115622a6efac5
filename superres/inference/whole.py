"""A network applied to a picture in one go, and what is expected of the network."""

from __future__ import annotations

from typing import Protocol as TypingProtocol

import torch

from superres.errors import UserError


class Upscaler(TypingProtocol):
    """What inference asks of a network: any callable with the attribute ``scale``.

    ``receptive_radius`` is how far an output pixel looks, in input pixels; None, or no such
    attribute, where that is the whole picture or not known. See :func:`radius_of`.
    """

    scale: int
    """Output size over input size."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to (N, C, h * scale, w * scale)."""
        ...


def radius_of(net: object) -> int | None:
    """How far an output pixel of a network looks, in input pixels; None where that is not known,
    or the whole picture."""
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
    layers = net.modules() if isinstance(net, torch.nn.Module) else ()
    first = next((layer for layer in layers if isinstance(layer, torch.nn.Conv2d)), None)
    # A layer behind a pixel unshuffle, or the like, tells nothing.
    return 1 if first is not None and first.in_channels == 1 else 3


def check_input(x: torch.Tensor) -> None:
    """UserError unless ``x`` is a float tensor (N, C, H, W) with at least one pixel."""
    if x.ndim != 4 or 0 in x.shape:
        raise UserError(
            f"expected a tensor (N, C, H, W) with at least one pixel, found {tuple(x.shape)}"
        )
    if not x.is_floating_point():
        raise UserError(f"expected a float tensor in [0, 1], found {x.dtype}: divide by 255")


def forward(net: Upscaler, x: torch.Tensor) -> torch.Tensor:
    """``net(x)``, after which the size is what ``net.scale`` promises."""
    y = net(x)
    expected = (x.shape[2] * net.scale, x.shape[3] * net.scale)
    if y.ndim != 4 or tuple(y.shape[2:]) != expected:
        raise UserError(
            f"the network's scale is {net.scale}, so an input of {x.shape[3]}x{x.shape[2]} should "
            f"give {expected[1]}x{expected[0]} (width x height), but it gave {tuple(y.shape)}"
        )
    return y
