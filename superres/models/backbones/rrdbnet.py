"""RRDBNet, the generator of ESRGAN (Wang et al., 2018) and Real-ESRGAN (Wang et al., 2021)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from superres.errors import UserError
from superres.models.layers.backbone import Backbone, kaiming_scaled, receptive_radius
from superres.models.layers.residual import densely
from superres.registry import MODELS

_BRANCH = 0.2  # factor of every residual branch
_act = partial(functional.leaky_relu, negative_slope=0.2)


class DenseBlock(nn.Module):
    """Five convolutions that each see all before them; a fifth of the last, plus the input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(channels + i * growth, channels if i == 4 else growth, 3, padding=1)
            for i in range(5)
        )

    def forward(self, x: Tensor) -> Tensor:
        features = densely(self.layers[:-1], x, _act)
        return x + self.layers[-1](features) * _BRANCH


class ResidualInResidual(nn.Module):
    """Three dense blocks; a fifth of their result, plus the input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(channels, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.blocks(x) * _BRANCH


@MODELS.register_module()
class RRDBNet(Backbone):
    """Residual blocks of dense blocks, then upsamplings by nearest neighbour, twice each.

    Real-ESRGAN's networks for x1 and x2 upscale four times as well, after moving 4x4 and 2x2
    pixels into channels (``unshuffle``). An image whose sides these do not divide is mirrored at
    its right and lower edge, as in its program.

    Parameters, 23 blocks: x4 16,697,987, x2 16,703,171; Real-ESRGAN's 6 blocks for anime at x4:
    4,467,779.
    Receptive radius: 15 * num_blocks + 4 input pixels at x4; not told behind an unshuffle, where a
    tile's place decides which pixels are taken together.

    Args:
        in_channels, out_channels: colour channels.
        channels: width between blocks.
        num_blocks: residual blocks of three dense blocks.
        growth: width of a dense block's first four convolutions.
        scale: 1, 2, 4 or 8.
        unshuffle: side of the squares of pixels that become channels first; None is 4 / scale, and
            1 from x4 on. The first ESRGAN had 1 at every scale.

    All convolutions start Kaiming-normal, times 0.1, biases zero.

    Raises:
        UserError: a scale or an unshuffle that does not exist.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: int = 64,
        num_blocks: int = 23,
        growth: int = 32,
        scale: int = 4,
        unshuffle: int | None = None,
    ) -> None:
        super().__init__()
        if scale not in (1, 2, 4, 8) or unshuffle not in (None, 1, 2, 4):
            raise UserError(
                f"RRDBNet: scale ({scale}) must be 1, 2, 4 or 8, unshuffle ({unshuffle}) 1, 2 or 4"
            )
        self.scale, self.in_channels = scale, in_channels
        self.unshuffle = unshuffle or max(4 // scale, 1)
        upsamplings = (scale * self.unshuffle).bit_length() - 1
        self.conv_first = nn.Conv2d(in_channels * self.unshuffle**2, channels, 3, padding=1)
        self.body = nn.Sequential(
            *(ResidualInResidual(channels, growth) for _ in range(num_blocks))
        )
        self.conv_after_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(upsamplings)
        )
        self.conv_hr = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_last = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.receptive_radius: int | None = None
        if self.unshuffle == 1:
            trunk = ("conv", 15 * num_blocks + 2)
            steps = [trunk, *[("up", 2), ("conv", 1)] * upsamplings, ("conv", 2)]
            self.receptive_radius = receptive_radius(steps)
        kaiming_scaled(self.modules(), 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped."""
        height, width = x.shape[2] * self.scale, x.shape[3] * self.scale
        if self.unshuffle > 1:
            x = functional.pixel_unshuffle(_even(x, self.unshuffle), self.unshuffle)
        first = self.conv_first(x)
        x = first + self.conv_after_body(self.body(first))
        for conv in self.upsample:
            x = _act(conv(functional.interpolate(x, scale_factor=2)))
        return self.conv_last(_act(self.conv_hr(x)))[..., :height, :width]


def _even(x: Tensor, factor: int) -> Tensor:
    """``x``, mirrored to sides that ``factor`` divides."""
    below, right = -x.shape[2] % factor, -x.shape[3] % factor
    if not below and not right:
        return x
    fits = below < x.shape[2] and right < x.shape[3]
    return functional.pad(x, (0, right, 0, below), "reflect" if fits else "replicate")
