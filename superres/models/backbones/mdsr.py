"""MDSR (Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from superres.errors import UserError
from superres.models.layers.attention import build_attention
from superres.models.layers.backbone import Backbone
from superres.models.layers.normalise import DIV2K_MEAN, UNIT_STD, Denormalise, Normalise
from superres.models.layers.residual import ResidualBlock
from superres.models.layers.upsample import Upsampler, radius_around
from superres.registry import MODELS


@MODELS.register_module()
class MDSR(Backbone):
    """One body for several scales; each scale has its own pre-processing and upsampler.

    The global skip starts *after* the pre-processing. Only the modules of the selected scale take
    part in a forward pass, so only they get gradients.

    Parameters with scales (2, 3, 4): baseline, 16 blocks: 3,227,203; full, 80 blocks: 7,953,987
    (the published 3,227,227 and 7,954,011 count 24 of the two mean shifts).
    super-image's single-scale network of the same name is ``num_blocks=32, res_scale=0.1,
    pre_kernel_size=3, rgb_mean=None, img_range=1`` and one scale: 2,699,267 / 2,883,907 /
    2,846,979 at x2 / x3 / x4 (+24 in its files); with ``attention='bam',
    attention_in_pre=True`` 19,210 more.
    Receptive radius: 2 * num_blocks + 12 input pixels with 5x5 pre-processing; none with
    attention.

    Args:
        in_channels, out_channels: colour channels.
        channels: width.
        num_blocks: residual blocks of the shared body.
        scales: the scales of the network, a subset of 2, 3, 4, 8.
        res_scale: 1 in the paper's code for all blocks, whatever EDSR uses.
        pre_kernel_size: kernel of the two pre-processing blocks.
        rgb_mean, rgb_std, img_range: numeric convention, see `EDSR`.
        attention: attention in every body block (MDSR-BAM: 'bam').
        attention_in_pre: also in the pre-processing blocks, as super-image does.

    Raises:
        UserError: a scale or attention that does not exist.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: int = 64,
        num_blocks: int = 16,
        scales: Sequence[int] = (2, 3, 4),
        res_scale: float = 1.0,
        pre_kernel_size: int = 5,
        rgb_mean: Sequence[float] | None = DIV2K_MEAN,
        rgb_std: Sequence[float] | None = UNIT_STD,
        img_range: float = 255.0,
        attention: str | None = None,
        attention_in_pre: bool = False,
    ) -> None:
        super().__init__()
        scales = [scales] if isinstance(scales, int) else scales
        if not scales or len(set(scales)) != len(scales):
            raise UserError(f"scales must be one or more different scales, not {list(scales)}")
        if pre_kernel_size % 2 == 0:
            raise UserError(f"pre_kernel_size must be odd, not {pre_kernel_size}")
        self.scales = tuple(scales)
        self.scale = self.scales[0]
        self._attention = attention
        self._trunk_radius = 2 * num_blocks + 2 + 4 * (pre_kernel_size // 2)

        def pre_block() -> ResidualBlock:
            gate = build_attention(attention, channels) if attention_in_pre else None
            return ResidualBlock(channels, res_scale, pre_kernel_size, gate)

        self.normalise = Normalise(in_channels, rgb_mean, rgb_std, img_range)
        self.conv_first = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.pre_process = nn.ModuleDict(
            {str(scale): nn.Sequential(pre_block(), pre_block()) for scale in scales}
        )
        self.body = nn.Sequential(
            *(
                ResidualBlock(channels, res_scale, attention=build_attention(attention, channels))
                for _ in range(num_blocks)
            )
        )
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = nn.ModuleDict({str(s): Upsampler(channels, s) for s in scales})
        self.conv_last = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.denormalise = Denormalise(out_channels, rgb_mean, rgb_std, img_range)

    @property
    def receptive_radius(self) -> int | None:
        """Input pixels, at the selected scale; None with attention."""
        return None if self._attention else radius_around(self._trunk_radius, self.scale)

    def set_scale(self, scale: int) -> None:
        """Select the scale that ``forward(x)`` uses; UserError if the network has no such."""
        if scale not in self.scales:
            raise UserError(f"this MDSR has no x{scale}; its scales are {self.scales}")
        self.scale = scale

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped.

        ``scale`` None means the selected one; another one is used for this call only.
        """
        key = str(self.scale if scale is None else scale)
        if key not in self.upsample:
            raise UserError(f"this MDSR has no x{key}; its scales are {self.scales}")
        x = self.pre_process[key](self.conv_first(self.normalise(x)))
        x = x + self.conv_after_body(self.body(x))
        return self.denormalise(self.conv_last(self.upsample[key](x)))
