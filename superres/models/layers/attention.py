"""Attention layers, and by their names for the ``attention`` argument of backbones.

BAM: Wang, Hu and Hu, "BAM: A Balanced Attention Mechanism for SISR", 2021. Channel attention of
RCAN: Zhang et al., "Image SR Using Very Deep RCAN", 2018. Laplacian attention of DRLN: Anwar and
Barnes, "Densely Residual Laplacian SR", 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from superres.errors import UserError


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


class ChannelAttention(nn.Module):
    """x * sigmoid(1x1 C->C/r, ReLU, 1x1 C/r->C) of the average-pooled map, with biases."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.down = nn.Conv2d(channels, hidden, 1)
        self.up = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.up(torch.relu(self.down(pooled))))


class LaplacianAttention(nn.Module):
    """Three dilated 3x3 convolutions on the *pooled* map, concatenated, gate the channels.

    As in the authors' code the convolutions act on a 1x1 map: only their centre taps ever see
    anything but padding, and 8/9 of the weights are dead. Weight files hold them all the same.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.c1 = nn.Conv2d(channels, hidden, 3, padding=3, dilation=3)
        self.c2 = nn.Conv2d(channels, hidden, 3, padding=5, dilation=5)
        self.c3 = nn.Conv2d(channels, hidden, 3, padding=7, dilation=7)
        self.c4 = nn.Conv2d(3 * hidden, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=(2, 3), keepdim=True)
        pyramid = torch.cat([torch.relu(c(pooled)) for c in (self.c1, self.c2, self.c3)], dim=1)
        return x * torch.sigmoid(self.c4(pyramid))


ATTENTIONS = {"bam": BAM, "channel": ChannelAttention, "laplacian": LaplacianAttention}


def build_attention(name: str | None, channels: int, reduction: int = 16) -> nn.Module | None:
    """The layer ``name`` for a map of ``channels``; None gives None. All of them pool globally."""
    if name is None:
        return None
    if name not in ATTENTIONS:
        raise UserError(f"attention={name!r} is not known; choose one of {', '.join(ATTENTIONS)}")
    return ATTENTIONS[name](channels, reduction)
