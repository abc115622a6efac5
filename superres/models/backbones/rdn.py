"""RDN (Zhang et al., "Residual Dense Network for Image Super-Resolution", 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from superres.models.layers.backbone import Backbone
from superres.models.layers.normalise import Denormalise, Normalise
from superres.models.layers.residual import densely
from superres.models.layers.upsample import Upsampler, radius_around
from superres.registry import MODELS


class DenseBlock(nn.Module):
    """Convolutions that each see all before them, a 1x1 fusion of all, plus the input."""

    def __init__(self, channels: int, growth: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(channels + i * growth, growth, 3, padding=1) for i in range(num_layers)
        )
        self.fuse = nn.Conv2d(channels + num_layers * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fuse(densely(self.layers, x, torch.relu))


@MODELS.register_module()
class RDN(Backbone):
    """Residual dense blocks, whose results are all fused before the global skip.

    Parameters, 16 blocks of 8 layers (x2 / x3 / x4): 22,123,395 / 22,308,035 / 22,271,107.
    Receptive radius: num_blocks * num_layers + 5 input pixels (133), 6 at scale 2 apart.

    Args:
        in_channels, out_channels: colour channels.
        channels: width between blocks.
        num_blocks: dense blocks (D of the paper; 16 in its model B, 20 in A).
        num_layers: convolutions in each (C: 8 in B, 6 in A).
        growth: width of each of them (G: 64 in B, 32 in A).
        up_channels: width behind each pixel shuffle; None: ``channels``. EDSR-PyTorch: ``growth``.
        scale: 2, 3, 4 or 8.
        rgb_mean, rgb_std, img_range: numeric convention, see `EDSR`; none by default, as in MMagic.

    Raises:
        UserError: a scale that does not exist.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: int = 64,
        num_blocks: int = 16,
        num_layers: int = 8,
        growth: int = 64,
        scale: int = 4,
        rgb_mean: Sequence[float] | None = None,
        rgb_std: Sequence[float] | None = None,
        img_range: float = 1.0,
        up_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.normalise = Normalise(in_channels, rgb_mean, rgb_std, img_range)
        self.conv_first = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.conv_second = nn.Conv2d(channels, channels, 3, padding=1)
        self.body = nn.ModuleList(
            DenseBlock(channels, growth, num_layers) for _ in range(num_blocks)
        )
        self.fuse = nn.Conv2d(channels * num_blocks, channels, 1)
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        up_channels = up_channels or channels
        self.upsample = Upsampler(channels, scale, width=up_channels)
        self.conv_last = nn.Conv2d(up_channels, out_channels, 3, padding=1)
        self.denormalise = Denormalise(out_channels, rgb_mean, rgb_std, img_range)
        self.receptive_radius = radius_around(num_blocks * num_layers + 3, scale)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped."""
        first = self.conv_first(self.normalise(x))
        features, fused = self.conv_second(first), []
        for block in self.body:
            features = block(features)
            fused.append(features)
        features = self.conv_after_body(self.fuse(torch.cat(fused, 1))) + first
        return self.denormalise(self.conv_last(self.upsample(features)))
