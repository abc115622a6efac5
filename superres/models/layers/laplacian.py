"""Laplacian attention of DRLN (Anwar and Barnes, "Densely Residual Laplacian SR", 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
