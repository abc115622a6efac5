"""Bicubic enlargement by a whole factor as one convolution, which every runtime has."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

SHARPNESS = {"torch": -0.75, "matlab": -0.5}
"""The cubic's a in ``torch.nn.functional.interpolate`` and in MATLAB's ``imresize``."""


class CubicConvolution(nn.Module):
    """(N, C, h, w) to (N, C, h * scale, w * scale), border pixels repeated.

    Enlarging by a whole factor repeats the same ``scale`` sets of four taps, so it is a
    convolution with 5x5 kernels to scale^2 channels and a pixel shuffle: `interpolate` with
    ``mode='bicubic'`` up to float rounding.

    Args:
        channels: C.
        scale: at least 2.
        a: the cubic's parameter (Keys 1981), see `SHARPNESS`.
    """

    def __init__(self, channels: int, scale: int, a: float) -> None:
        super().__init__()
        line = torch.zeros(scale, 5, dtype=torch.float64)
        for phase in range(scale):
            at = (phase + 0.5) / scale - 0.5
            for tap in range(-2, 3):
                line[phase, tap + 2] = _cubic(abs(at - tap), a)
        kernel = torch.einsum("iy,jx->ijyx", line, line).reshape(scale**2, 1, 5, 5)
        kernel = kernel.repeat(channels, 1, 1, 1)
        self.channels, self.scale = channels, scale
        self.register_buffer("kernel", kernel.float(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to (N, C, h * scale, w * scale)."""
        padded = functional.pad(x, (2, 2, 2, 2), mode="replicate")
        y = functional.conv2d(padded, self.kernel, groups=self.channels)
        return functional.pixel_shuffle(y, self.scale)


def _cubic(x: float, a: float) -> float:
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def replace_enlargement(net: nn.Module, channels: int) -> None:
    """Put `CubicConvolution` in place of every ``BicubicUpsample`` inside ``net``.

    Our networks enlarge their input, so ``channels`` is the network's.
    """
    for name, child in net.named_children():
        method, scale = getattr(child, "method", None), getattr(child, "scale", 1)
        if type(child).__name__ == "BicubicUpsample" and method in SHARPNESS and scale > 1:
            setattr(net, name, CubicConvolution(channels, scale, SHARPNESS[method]))
        else:
            replace_enlargement(child, channels)
