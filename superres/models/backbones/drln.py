"""DRLN (Anwar and Barnes, "Densely Residual Laplacian Super-Resolution", 2019) and DRLN-BAM
(Wang, Hu and Hu, "BAM: A Balanced Attention Mechanism for Single Image Super Resolution", 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from superres.models.layers.attention import build_attention
from superres.models.layers.backbone import Backbone
from superres.models.layers.normalise import DIV2K_MEAN, UNIT_STD, Denormalise, Normalise
from superres.models.layers.upsample import Upsampler
from superres.registry import MODELS

GROUPS = (3, 3, 3, 3, 4, 4)


class ActivatedResidual(nn.Module):
    """conv - ReLU - conv, plus the input, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))


class DenseResidualLaplacianModule(nn.Module):
    """Three residual units, densely connected, fused by a 1x1 convolution, then attention.

    The published code has no skip around the module, unlike the paper's figure.
    """

    def __init__(self, channels: int, attention: str) -> None:
        super().__init__()
        self.r1 = ActivatedResidual(channels)
        self.r2 = ActivatedResidual(channels * 2)
        self.r3 = ActivatedResidual(channels * 4)
        self.fuse = nn.Conv2d(channels * 8, channels, 1)
        self.attention = build_attention(attention, channels)

    def forward(self, x: Tensor) -> Tensor:
        for unit in (self.r1, self.r2, self.r3):
            x = torch.cat([x, unit(x)], dim=1)
        return self.attention(torch.relu(self.fuse(x)))


@MODELS.register_module()
class DRLN(Backbone):
    """Twenty dense residual modules in six densely fused groups, as published in code.

    The fused output of the fourth module (``fusions.3``) is never used: the second group's second
    module reads the first group's output. The layer is kept for the sake of weight files, frozen,
    and gets no gradient.

    Parameters (x2 / x3 / x4 / x8), published with 24 of the mean shifts: DRLN 34,430,155 /
    34,614,795 / 34,577,867 / 34,725,579; DRLN-BAM (``attention='bam'``) 34,163,455 /
    34,348,095 / 34,311,167 / 34,458,879. 24 fewer here.
    Receptive radius: none, the attention pools the whole image.

    Args:
        in_channels, out_channels: colour channels.
        channels: width.
        scale: 2, 3, 4 or 8.
        attention: 'laplacian' (DRLN) or 'bam' (DRLN-BAM), in every module.
        rgb_mean, rgb_std, img_range: numeric convention, see `EDSR`. The authors' weights work on
            0..255 with the mean *not* multiplied by 255: ``rgb_mean=[m / 255 for m in mean],
            img_range=255``.

    Raises:
        UserError: a scale or attention that does not exist.
    """

    receptive_radius: int | None = None

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: int = 64,
        scale: int = 4,
        attention: str = "laplacian",
        rgb_mean: Sequence[float] | None = DIV2K_MEAN,
        rgb_std: Sequence[float] | None = UNIT_STD,
        img_range: float = 1.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.normalise = Normalise(in_channels, rgb_mean, rgb_std, img_range)
        self.conv_first = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.blocks = nn.ModuleList(
            DenseResidualLaplacianModule(channels, attention) for _ in range(sum(GROUPS))
        )
        self.fusions = nn.ModuleList(
            nn.Conv2d(channels * (position + 2), channels, 3, padding=1)
            for size in GROUPS
            for position in range(size)
        )
        self.fusions[GROUPS[0]].requires_grad_(False)
        # ReLU stands before the pixel shuffle here and nowhere else.
        self.upsample = Upsampler(channels, scale, act_before=nn.ReLU)
        self.conv_last = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.denormalise = Denormalise(out_channels, rgb_mean, rgb_std, img_range)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped."""
        first = self.conv_first(self.normalise(x))
        skip = fused = first  # group input for the residual, and for the dense concatenation
        index = 0
        for group, size in enumerate(GROUPS):
            dense, current = fused, skip
            for position in range(size):
                dense = torch.cat([dense, self.blocks[index](current)], dim=1)
                if group == 1 and position == 0:
                    current = skip  # as published: the fourth fusion's output is dropped
                else:
                    current = fused = torch.relu(self.fusions[index](dense))
                index += 1
            skip = fused + skip
        return self.denormalise(self.conv_last(self.upsample(skip + first)))
