"""RCAN (Zhang et al., "Image Super-Resolution Using Very Deep Residual Channel Attention
Networks", 2018)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from superres.models.layers.attention import ChannelAttention
from superres.models.layers.backbone import Backbone
from superres.models.layers.normalise import DIV2K_MEAN, UNIT_STD, Denormalise, Normalise
from superres.models.layers.residual import ResidualBlock
from superres.models.layers.upsample import Upsampler
from superres.registry import MODELS


class ResidualGroup(nn.Module):
    """Residual blocks with channel attention and a convolution, plus the input."""

    def __init__(self, channels: int, num_blocks: int, reduction: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(channels, attention=ChannelAttention(channels, reduction))
                for _ in range(num_blocks)
            )
        )
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(self.blocks(x))


@MODELS.register_module()
class RCAN(Backbone):
    """Residual groups of residual blocks with channel attention.

    Parameters: 10 groups of 20 at x2: 15,444,643 (published with 24 of the mean shifts:
    15,444,667); 10 groups of 4 at x2, the ablation study's row 10: 3,534,883.
    Receptive radius: none, the attention pools the whole image.

    Args:
        in_channels, out_channels: colour channels.
        channels: width.
        num_groups, num_blocks: residual groups, and blocks in each.
        reduction: of the channel attention's hidden width.
        scale: 2, 3, 4 or 8.
        rgb_mean, rgb_std, img_range: numeric convention, see `EDSR`.

    Raises:
        UserError: a scale that does not exist.
    """

    receptive_radius: int | None = None

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: int = 64,
        num_groups: int = 10,
        num_blocks: int = 20,
        reduction: int = 16,
        scale: int = 4,
        rgb_mean: Sequence[float] | None = DIV2K_MEAN,
        rgb_std: Sequence[float] | None = UNIT_STD,
        img_range: float = 255.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.normalise = Normalise(in_channels, rgb_mean, rgb_std, img_range)
        self.conv_first = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.body = nn.Sequential(
            *(ResidualGroup(channels, num_blocks, reduction) for _ in range(num_groups))
        )
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = Upsampler(channels, scale)
        self.conv_last = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.denormalise = Denormalise(out_channels, rgb_mean, rgb_std, img_range)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped."""
        x = self.conv_first(self.normalise(x))
        x = x + self.conv_after_body(self.body(x))
        return self.denormalise(self.conv_last(self.upsample(x)))
