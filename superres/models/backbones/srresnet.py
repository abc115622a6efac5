"""SRResNet (Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a GAN", 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from superres.models.layers.backbone import Backbone
from superres.models.layers.normalise import Denormalise, Normalise
from superres.models.layers.upsample import Upsampler, radius_around
from superres.registry import MODELS


class NormalisedBlock(nn.Module):
    """conv - BN - PReLU - conv - BN, plus the input."""

    def __init__(self, channels: int, bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.norm1 = nn.BatchNorm2d(channels)
        self.act = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.act(self.norm1(self.conv1(x)))
        return x + self.norm2(self.conv2(x1))


@MODELS.register_module()
class SRResNet(Backbone):
    """9x9 convolutions at both ends, batch-normalised blocks, PReLU after each pixel shuffle.

    EDSR's ancestor: EDSR drops the batch norm and the activations outside the blocks, shrinks the
    9x9 kernels to 3x3 and replaces the L2 loss by L1.

    Parameters at x4: 1,547,350; with ``bias_before_norm`` 1,549,462.
    Receptive radius: 2 * num_blocks + 8 input pixels at x2 and x4 (40 with 16 blocks).

    Args:
        in_channels, out_channels: colour channels.
        channels: width.
        num_blocks: residual blocks.
        scale: 2, 3, 4 or 8.
        bias_before_norm: give the convolutions before a batch norm their (useless) biases.
        rgb_mean, rgb_std, img_range: numeric convention, see `EDSR`; none by default.

    Raises:
        UserError: a scale that does not exist.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: int = 64,
        num_blocks: int = 16,
        scale: int = 4,
        bias_before_norm: bool = False,
        rgb_mean: Sequence[float] | None = None,
        rgb_std: Sequence[float] | None = None,
        img_range: float = 1.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.normalise = Normalise(in_channels, rgb_mean, rgb_std, img_range)
        self.conv_first = nn.Conv2d(in_channels, channels, 9, padding=4)
        self.act_first = nn.PReLU()
        self.body = nn.Sequential(
            *(NormalisedBlock(channels, bias_before_norm) for _ in range(num_blocks))
        )
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1, bias=bias_before_norm)
        self.norm_after_body = nn.BatchNorm2d(channels)
        self.upsample = Upsampler(channels, scale, act_after=nn.PReLU)
        self.conv_last = nn.Conv2d(channels, out_channels, 9, padding=4)
        self.denormalise = Denormalise(out_channels, rgb_mean, rgb_std, img_range)
        self.receptive_radius = radius_around(4 + 2 * num_blocks + 1, scale, last=4)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped."""
        x = self.act_first(self.conv_first(self.normalise(x)))
        x = x + self.norm_after_body(self.conv_after_body(self.body(x)))
        return self.denormalise(self.conv_last(self.upsample(x)))
