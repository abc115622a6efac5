"""Balanced attention (Wang, Hu and Hu, "BAM: A Balanced Attention Mechanism for SISR", 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelGate(nn.Module):
    """sigmoid(1x1 C->C/r, PReLU per channel, 1x1 C/r->C) of the average-pooled map; no biases."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.relu1 = nn.PReLU(hidden)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=(2, 3), keepdim=True)
        return torch.sigmoid(self.fc2(self.relu1(self.fc1(pooled))))


class SpatialGate(nn.Module):
    """sigmoid(7x7 conv 1->1, no bias) of the maximum over the channels."""

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv1(x.amax(dim=1, keepdim=True)))


class BAM(nn.Module):
    """(N, C, H, W) times a channel gate and a spatial gate, both computed from the input.

    565 parameters at 64 channels. The channel gate sees the whole map, so a network with this
    layer has no finite receptive radius.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.ca = ChannelGate(channels, reduction)
        self.sa = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        return self.ca(x) * self.sa(x) * x
