"""SRCNN (Dong et al., "Image Super-Resolution Using Deep Convolutional Networks", 2014/2016)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from superres.errors import UserError
from superres.models.layers.backbone import Backbone, receptive_radius
from superres.models.layers.interpolate import BicubicUpsample
from superres.models.layers.normalise import Denormalise, Normalise
from superres.registry import MODELS


@MODELS.register_module()
class SRCNN(Backbone):
    """Bicubic upscaling, then three convolutions with two ReLUs; zero padding keeps the size.

    Parameters: 9-1-5 on RGB 20,099, 9-5-5 on RGB 69,251; the papers' 9-1-5 on one channel 8,129.
    Receptive radius: 3 input pixels at x4 for 9-1-5, 4 for 9-5-5.

    Args:
        in_channels, out_channels: colour channels.
        channels: widths after the first and second convolution.
        kernel_sizes: (9, 1, 5) or (9, 5, 5) in the papers; odd.
        scale: integer; 1 takes images that are upscaled already, as the papers do.
        interpolation: 'torch' (MMagic's network), 'matlab' (the papers' bicubic) or
            'matlab-mirror', see `BicubicUpsample`.
        rgb_mean, rgb_std, img_range: numeric convention, see `EDSR`; none by default.
        studio_luma: see `Backbone`; of published weights, not for a training here.

    Raises:
        UserError: a scale below 1, an unknown interpolation, not three kernel sizes.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: Sequence[int] = (64, 32),
        kernel_sizes: Sequence[int] = (9, 1, 5),
        scale: int = 4,
        interpolation: str = "torch",
        rgb_mean: Sequence[float] | None = None,
        rgb_std: Sequence[float] | None = None,
        img_range: float = 1.0,
        studio_luma: bool = False,
    ) -> None:
        super().__init__()
        if len(channels) != 2 or len(kernel_sizes) != 3 or any(k % 2 == 0 for k in kernel_sizes):
            raise UserError(
                f"SRCNN takes two widths and three odd kernel sizes, not {channels}, {kernel_sizes}"
            )
        self.scale, self.studio_luma = scale, studio_luma
        self.enlarge = BicubicUpsample(scale, interpolation)
        self.normalise = Normalise(in_channels, rgb_mean, rgb_std, img_range)
        widths = (in_channels, *channels, out_channels)
        self.conv1, self.conv2, self.conv3 = (
            nn.Conv2d(widths[i], widths[i + 1], k, padding=k // 2)
            for i, k in enumerate(kernel_sizes)
        )
        self.denormalise = Denormalise(out_channels, rgb_mean, rgb_std, img_range)
        convs = ("conv", sum(k // 2 for k in kernel_sizes))
        self.receptive_radius = receptive_radius([("interpolate", scale), convs])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped."""
        x = self.normalise(self.enlarge(x))
        return self.denormalise(self.conv3(torch.relu(self.conv2(torch.relu(self.conv1(x))))))
