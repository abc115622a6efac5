"""MSRResNet, the modified SRResNet of ESRGAN (Wang et al., 2018), in its two published variants."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from superres.errors import UserError
from superres.models.layers.backbone import Backbone, check_init, kaiming_scaled
from superres.models.layers.normalise import Denormalise, Normalise
from superres.models.layers.residual import ResidualBlock
from superres.models.layers.upsample import Upsampler, radius_around
from superres.registry import MODELS


@MODELS.register_module()
class MSRResNet(Backbone):
    """Residual blocks without normalisation and a bilinear global skip around the whole network.

    Unlike EDSR: no convolution after the body, no skip of features, an extra convolution at the
    target size, leaky ReLUs (0.1). The two variants have the same parameters and different
    outputs: MMagic's has no activation after the pixel shuffles, BasicSR's has one
    (``upsample_act=True``).

    Parameters, 16 blocks of 64 (x2 / x3 / x4): 1,369,859 / 1,554,499 / 1,517,571, by coincidence
    the same as EDSR's.
    Receptive radius: 2 * num_blocks + 3 input pixels (35 with 16 blocks).

    Args:
        in_channels, out_channels: colour channels; must be equal (the input is added).
        channels: width.
        num_blocks: residual blocks.
        scale: 2, 3, 4 or 8.
        upsample_act: leaky ReLU after each pixel shuffle.
        rgb_mean, rgb_std, img_range: numeric convention, see `EDSR`; none by default.
        init: 'pytorch', 'mmediting' (Kaiming-normal times 0.1, the upsampler times 1) or 'basicsr'
            (times 0.1 throughout).

    Raises:
        UserError: a scale or init that does not exist, unequal channels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: int = 64,
        num_blocks: int = 16,
        scale: int = 4,
        upsample_act: bool = False,
        rgb_mean: Sequence[float] | None = None,
        rgb_std: Sequence[float] | None = None,
        img_range: float = 1.0,
        init: str = "mmediting",
    ) -> None:
        super().__init__()
        check_init(init, "basicsr")
        if in_channels != out_channels:
            raise UserError(
                f"MSRResNet adds its input: in_channels ({in_channels}) and out_channels "
                f"({out_channels}) must be equal"
            )
        self.scale = scale
        act = partial(nn.LeakyReLU, 0.1)
        self.normalise = Normalise(in_channels, rgb_mean, rgb_std, img_range)
        self.conv_first = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(channels) for _ in range(num_blocks)))
        self.upsample = Upsampler(channels, scale, act_after=act if upsample_act else None)
        self.conv_hr = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_last = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.act = act()
        self.denormalise = Denormalise(out_channels, rgb_mean, rgb_std, img_range)
        self.receptive_radius = radius_around(1 + 2 * num_blocks, scale, last=2)
        if init != "pytorch":
            kaiming_scaled([self.conv_first, self.conv_hr, self.conv_last], 0.1)
            kaiming_scaled(self.body.modules(), 0.1)
            kaiming_scaled(self.upsample.modules(), 1.0 if init == "mmediting" else 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped."""
        x = self.normalise(x)
        features = self.body(self.act(self.conv_first(x)))
        features = self.act(self.conv_hr(self.upsample(features)))
        base = functional.interpolate(
            x, scale_factor=self.scale, mode="bilinear", align_corners=False
        )
        return self.denormalise(self.conv_last(features) + base)
