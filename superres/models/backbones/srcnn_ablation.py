"""The SRCNN-to-EDSR family of the ablation study in authierj's fork of EDSR-PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from superres.errors import UserError
from superres.models.layers.attention import build_attention
from superres.models.layers.backbone import Backbone, receptive_radius
from superres.models.layers.interpolate import BicubicUpsample
from superres.models.layers.normalise import Denormalise, Normalise
from superres.models.layers.residual import ResidualBlock
from superres.models.layers.upsample import Upsampler, radius_around
from superres.registry import MODELS


def _activation(act: str, channels: int) -> nn.Module:
    if act not in ("relu", "lrelu", "prelu"):
        raise UserError(f"act={act!r} is not known; choose one of relu, lrelu, prelu")
    if act == "prelu":
        return nn.PReLU(channels)
    return nn.ReLU() if act == "relu" else nn.LeakyReLU(0.01)


class ConvBlock(nn.Module):
    """conv without bias, optional batch norm, activation."""

    def __init__(self, channels: int, batch_norm: bool, act: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels) if batch_norm else nn.Identity()
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


@MODELS.register_module()
class SRCNNAblation(Backbone):
    """One configurable network for every step of the study; configs/ablation holds its rows.

    ``upsample='before'``: bicubic upscaling (torch's), a first convolution and a last one
    without biases, ``num_blocks`` blocks between, an optional skip around everything.
    ``upsample='after'``: a first convolution *without activation*, the blocks, the first features
    added, pixel shuffle, a last convolution, these three with biases.

    Parameters: from 40,320 (rows 1 and 2) to 1,629,571 (row 8, 128 wide).
    Receptive radius: with 'after' and conv blocks num_blocks + 3 input pixels; 3 for task1.

    Args:
        in_channels, out_channels: colour channels.
        channels: width.
        num_blocks: blocks between the first and the last convolution.
        scale: 2, 3, 4 or 8; any whole number for 'before'.
        upsample: 'before' or 'after' the blocks.
        block: 'conv' (conv, batch norm, activation) or 'residual' (EDSR's block).
        batch_norm: in the 'conv' blocks.
        attention: None, or 'channel', 'bam', 'laplacian' on the branch of each 'residual' block.
        act: 'relu', 'lrelu' (slope 0.01) or 'prelu' (a slope per channel).
        share_act: one PReLU for all blocks, as the study's code (unwittingly) has it.
        global_skip: add the upscaled input ('before') or the first features ('after').
        rgb_mean, rgb_std, img_range: numeric convention, see `EDSR`. The study has 0..255, no mean.

    Raises:
        UserError: an argument that does not exist.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: int = 64,
        num_blocks: int = 6,
        scale: int = 2,
        upsample: str = "after",
        block: str = "conv",
        batch_norm: bool = False,
        attention: str | None = None,
        act: str = "relu",
        share_act: bool = False,
        global_skip: bool = True,
        rgb_mean: Sequence[float] | None = None,
        rgb_std: Sequence[float] | None = None,
        img_range: float = 255.0,
    ) -> None:
        super().__init__()
        if upsample not in ("before", "after") or block not in ("conv", "residual"):
            raise UserError(
                f"upsample={upsample!r}, block={block!r}: choose upsample 'before' or 'after' "
                "and block 'conv' or 'residual'"
            )
        if attention and block != "residual":
            raise UserError(f"attention={attention!r} takes block='residual'")
        if upsample == "before" and global_skip and in_channels != out_channels:
            raise UserError(
                f"the skip adds the upscaled input: in_channels ({in_channels}) and out_channels "
                f"({out_channels}) must be equal"
            )
        self.scale = scale
        self.global_skip = global_skip
        before = upsample == "before"
        shared = _activation(act, channels) if share_act else None

        def build_block() -> nn.Module:
            if block == "residual":
                gate = build_attention(attention, channels)
                return ResidualBlock(channels, attention=gate)
            return ConvBlock(channels, batch_norm, shared or _activation(act, channels))

        self.normalise = Normalise(in_channels, rgb_mean, rgb_std, img_range)
        self.enlarge = BicubicUpsample(scale) if before else None
        self.conv_first = nn.Conv2d(in_channels, channels, 3, padding=1, bias=not before)
        self.act_first = _activation(act, channels) if before else None
        self.body = nn.Sequential(*(build_block() for _ in range(num_blocks)))
        self.upsample = None if before else Upsampler(channels, scale)
        self.conv_last = nn.Conv2d(channels, out_channels, 3, padding=1, bias=not before)
        self.denormalise = Denormalise(out_channels, rgb_mean, rgb_std, img_range)
        trunk = 1 + num_blocks * (2 if block == "residual" else 1)
        enlarged = receptive_radius([("interpolate", scale), ("conv", trunk + 1)])
        radius = enlarged if before else radius_around(trunk, scale)
        # An attention gate pools over the whole image.
        self.receptive_radius = None if attention else radius

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped."""
        x = self.normalise(x)
        if self.enlarge is not None:
            x = self.enlarge(x)
            y = self.conv_last(self.body(self.act_first(self.conv_first(x))))
            return self.denormalise(x + y if self.global_skip else y)
        first = self.conv_first(x)
        y = self.body(first)
        return self.denormalise(self.conv_last(self.upsample(first + y if self.global_skip else y)))
