"""Residual blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """conv - ReLU - conv, times ``res_scale``, plus the input; no normalisation (EDSR, 2017).

    Args:
        channels: width, in and out.
        res_scale: factor of the residual branch before the addition.
        kernel_size: odd; 3 everywhere but in MDSR's pre-processing blocks (5).
        attention: module applied to the branch after the second convolution, before the scaling.
    """

    def __init__(
        self,
        channels: int,
        res_scale: float = 1.0,
        kernel_size: int = 3,
        attention: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.res_scale = res_scale
        padding = kernel_size // 2
        self.conv1 = nn.Conv2d(channels, channels, kernel_size, padding=padding)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size, padding=padding)
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        residual = self.conv2(self.relu(self.conv1(x)))
        if self.attention is not None:
            residual = self.attention(residual)
        if self.res_scale != 1:
            residual = residual * self.res_scale
        return x + residual

    def fold_res_scale(self) -> None:
        """Multiply the second convolution by ``res_scale``: the same function, one pass fewer.

        Left as it is behind an attention gate, which is not homogeneous.
        """
        if self.attention is None and self.res_scale != 1:
            for parameter in self.conv2.parameters():
                parameter.data.mul_(self.res_scale)
            self.res_scale = 1.0


def densely(layers: Iterable[nn.Module], x: Tensor, act: Callable[[Tensor], Tensor]) -> Tensor:
    """``x`` and the activated results of layers that each see all before them, as channels."""
    for layer in layers:
        x = torch.cat((x, act(layer(x))), 1)
    return x
