"""Small networks for this room: an EDSR with the published layers and names, a pooling one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

MEAN = (0.4488, 0.4371, 0.4040)


class Block(nn.Module):
    def __init__(self, width: int, rho: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.rho = rho

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.rho * self.body(x)


def mean_shift(span: float, sign: int) -> nn.Conv2d:
    shift = nn.Conv2d(3, 3, 1)
    shift.weight.data = torch.eye(3).view(3, 3, 1, 1)
    shift.bias.data = sign * span * torch.tensor(MEAN)
    return shift


class TinyEdsr(nn.Module):
    """EDSR-PyTorch's EDSR (2 blocks, 8 wide, rho 0.1) on pictures in [0, span]."""

    def __init__(self, scale: int, span: float = 255.0, blocks: int = 2, width: int = 8) -> None:
        super().__init__()
        self.scale = scale
        # head, blocks, body end: one pixel a convolution; the upsampler and the tail look at
        # most one input pixel further each (x4: the second stage less, hence enough).
        self.receptive_radius = 1 + 2 * blocks + 1 + 3
        self.sub_mean, self.add_mean = mean_shift(span, -1), mean_shift(span, 1)
        self.head = nn.Sequential(nn.Conv2d(3, width, 3, padding=1))
        end = nn.Conv2d(width, width, 3, padding=1)
        self.body = nn.Sequential(*(Block(width, 0.1) for _ in range(blocks)), end)
        steps = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
        up = [
            layer
            for r in steps
            for layer in (nn.Conv2d(width, width * r * r, 3, padding=1), nn.PixelShuffle(r))
        ]
        self.tail = nn.Sequential(nn.Sequential(*up), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.head(self.sub_mean(x))
        return self.add_mean(self.tail(x + self.body(x)))


class PooledNet(nn.Module):
    """A network whose gate depends on the whole picture, like RCAN's and DRLN's."""

    scale = 2
    receptive_radius = None

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.pixel_shuffle(self.conv(x), 2)
        return y * (1 + y.mean((2, 3), keepdim=True))


@pytest.fixture
def make_edsr():
    def make(scale: int, **options) -> TinyEdsr:
        torch.manual_seed(scale)
        return TinyEdsr(scale, **options).eval()

    return make


@pytest.fixture
def pooled_net() -> PooledNet:
    torch.manual_seed(0)
    return PooledNet().eval()
