"""The baseline of ``benchmark infer``: EDSR as the other toolboxes write it, run eagerly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEAN = (0.4488, 0.4371, 0.4040)


class PlainEdsr(nn.Module):
    """EDSR on 0..255: mean shifts as 1x1 convolutions, contiguous tensors, nothing folded."""

    def __init__(self, channels: int, blocks: int, scale: int) -> None:
        super().__init__()
        stages = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.ReLU(True),
                nn.Conv2d(channels, channels, 3, padding=1),
            )
            for _ in range(blocks)
        )
        self.after = nn.Conv2d(channels, channels, 3, padding=1)
        up = [nn.Conv2d(channels, channels * f * f, 3, padding=1) for f in stages]
        shuffle = [nn.PixelShuffle(f) for f in stages]
        self.up = nn.Sequential(*(m for pair in zip(up, shuffle) for m in pair))
        self.tail = nn.Conv2d(channels, 3, 3, padding=1)
        self.shift = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(2))
        for conv, sign in zip(self.shift, (-1, 1)):
            conv.weight.data = torch.eye(3).view(3, 3, 1, 1)
            conv.bias.data = sign * 255 * torch.tensor(MEAN)

    def forward(self, x: Tensor) -> Tensor:
        first = x = self.head(self.shift[0](x * 255))
        for block in self.body:
            x = x + block(x)
        return self.shift[1](self.tail(self.up(first + self.after(x)))) / 255


def with_weights_of(network: nn.Module, channels: int, blocks: int, scale: int) -> PlainEdsr:
    """The plain network with the weights of ours: the same convolutions in the same order."""
    plain = PlainEdsr(channels, blocks, scale).eval()
    own = list(plain.state_dict().items())[:-4]
    for (_, target), value in zip(own, network.state_dict().values(), strict=True):
        target.copy_(value)
    return plain
