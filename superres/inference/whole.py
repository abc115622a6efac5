"""A network applied to a picture in one go, and what is expected of the network."""

from __future__ import annotations

from typing import Protocol as TypingProtocol

import torch

from superres.errors import UserError


class Upscaler(TypingProtocol):
    """What inference asks of a network: any callable with these two attributes."""

    scale: int
    """Output size over input size."""
    receptive_radius: int | None
    """How far an output pixel looks, in input pixels; None where a global pooling makes it the
    whole picture."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to (N, C, h * scale, w * scale)."""
        ...


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
