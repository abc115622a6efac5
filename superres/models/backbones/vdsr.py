"""VDSR (Kim et al., "Accurate Image SR Using Very Deep Convolutional Networks", 2016)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from superres.errors import UserError
from superres.models.layers.backbone import Backbone, receptive_radius
from superres.models.layers.interpolate import BicubicUpsample
from superres.models.layers.normalise import Denormalise, Normalise
from superres.registry import MODELS


@MODELS.register_module()
class VDSR(Backbone):
    """3x3 convolutions that predict what bicubic upscaling misses; one network for all scales.

    Parameters: the paper's (one channel, 20 layers of 64, no biases) 664,704; EDSR-PyTorch's
    (``in_channels=out_channels=3, bias=True``, mean shift, 0..255) 668,227 and 24 of mean shifts.
    Receptive radius: num_layers pixels of the target size (20 at scale 1).

    Args:
        in_channels, out_channels: colour channels; must be equal (the input is added).
        channels: width.
        num_layers: convolutions, at least 2.
        scale: integer; 1 takes images that are upscaled already, as the paper does.
        bias: of the convolutions.
        interpolation: 'matlab' (the paper's bicubic), 'matlab-mirror' or 'torch', see
            `BicubicUpsample`.
        rgb_mean, rgb_std, img_range: numeric convention, see `EDSR`; none by default.
        studio_luma: see `Backbone`; of published weights, not for a training here.

    Raises:
        UserError: a scale below 1, an unknown interpolation, unequal channels, too few layers.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        channels: int = 64,
        num_layers: int = 20,
        scale: int = 1,
        bias: bool = False,
        interpolation: str = "matlab",
        rgb_mean: Sequence[float] | None = None,
        rgb_std: Sequence[float] | None = None,
        img_range: float = 1.0,
        studio_luma: bool = False,
    ) -> None:
        super().__init__()
        if in_channels != out_channels or num_layers < 2:
            raise UserError(
                f"VDSR adds its input: in_channels ({in_channels}) and out_channels "
                f"({out_channels}) must be equal, and num_layers ({num_layers}) at least 2"
            )
        self.scale, self.studio_luma = scale, studio_luma
        self.enlarge = BicubicUpsample(scale, interpolation)
        self.normalise = Normalise(in_channels, rgb_mean, rgb_std, img_range)
        self.conv_first = nn.Conv2d(in_channels, channels, 3, padding=1, bias=bias)
        self.body = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, bias=bias) for _ in range(num_layers - 2)
        )
        self.conv_last = nn.Conv2d(channels, out_channels, 3, padding=1, bias=bias)
        self.relu = nn.ReLU(inplace=True)
        self.denormalise = Denormalise(out_channels, rgb_mean, rgb_std, img_range)
        self.receptive_radius = receptive_radius([("interpolate", scale), ("conv", num_layers)])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al.'s initialisation, as in the paper
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped."""
        x = self.normalise(self.enlarge(x))
        features = self.relu(self.conv_first(x))
        for conv in self.body:
            features = self.relu(conv(features))
        return self.denormalise(x + self.conv_last(features))
