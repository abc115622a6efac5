"""EDSR (Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from superres.models.layers.attention import build_attention
from superres.models.layers.backbone import Backbone, check_init, kaiming_scaled
from superres.models.layers.normalise import DIV2K_MEAN, UNIT_STD, Denormalise, Normalise
from superres.models.layers.residual import ResidualBlock
from superres.models.layers.upsample import Upsampler, radius_around
from superres.registry import MODELS


@MODELS.register_module()
class EDSR(Backbone):
    """Residual blocks without normalisation between a global skip, then pixel shuffle.

    Parameters (x2 / x3 / x4 / x8): baseline, 16 blocks of 64: 1,369,859 / 1,554,499 / 1,517,571 /
    1,665,283; full, 32 blocks of 256 with ``res_scale=0.1``: 40,729,603 / 43,680,003 /
    43,089,923 / 45,450,243.
    Receptive radius: 2 * num_blocks + 4 input pixels (36 baseline, 68 full); none with attention.

    Args:
        in_channels, out_channels: colour channels.
        channels: width.
        num_blocks: residual blocks.
        scale: 2, 3, 4 or 8.
        res_scale: factor of each block's branch before the addition (0.1 in the full model).
        rgb_mean, rgb_std: in [0, 1] units, one value per channel; None for no shift. A
            one-channel network takes the luma of an RGB triple.
        img_range: range the convolutions see. The paper's code works on 0..255, which the
            published learning rates and initialisation go with.
        attention: 'bam' (EDSR-BAM), 'channel' or 'laplacian' on the body's output before the
            global skip.
        init: 'pytorch' (default of Conv2d, the paper's code) or 'mmediting' (Kaiming-normal, times
            0.1 in the blocks if ``res_scale`` is 1, biases zero).

    Raises:
        UserError: a scale, attention or init that does not exist, a mean of the wrong length.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: int = 64,
        num_blocks: int = 16,
        scale: int = 4,
        res_scale: float = 1.0,
        rgb_mean: Sequence[float] | None = DIV2K_MEAN,
        rgb_std: Sequence[float] | None = UNIT_STD,
        img_range: float = 255.0,
        attention: str | None = None,
        init: str = "pytorch",
    ) -> None:
        super().__init__()
        check_init(init)
        self.scale = scale
        self.normalise = Normalise(in_channels, rgb_mean, rgb_std, img_range)
        self.conv_first = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(channels, res_scale) for _ in range(num_blocks)))
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.attention = build_attention(attention, channels)
        self.upsample = Upsampler(channels, scale)
        self.conv_last = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.denormalise = Denormalise(out_channels, rgb_mean, rgb_std, img_range)
        radius = radius_around(2 * num_blocks + 2, scale)
        self.receptive_radius: int | None = None if attention else radius
        if init == "mmediting":
            if res_scale == 1:
                kaiming_scaled(self.body.modules(), 0.1)
            kaiming_scaled(self.upsample.modules(), 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped."""
        x = self.conv_first(self.normalise(x))
        body = self.conv_after_body(self.body(x))
        if self.attention is not None:
            body = self.attention(body)
        return self.denormalise(self.conv_last(self.upsample(x + body)))
