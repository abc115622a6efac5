"""SRVGGNetCompact, the small networks of Real-ESRGAN (realesr-general, realesr-animevideo)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from superres.errors import UserError
from superres.models.layers.backbone import Backbone, receptive_radius
from superres.registry import MODELS


@MODELS.register_module()
class SRVGGNetCompact(Backbone):
    """Plain convolutions and activations, one pixel shuffle, plus the nearest neighbours.

    Parameters at x4: 32 convolutions (realesr-general-x4v3) 1,213,296; 16 (realesr-animevideov3)
    621,424.
    Receptive radius: num_convs + 2 input pixels.

    Args:
        in_channels, out_channels: colour channels; must be equal (the input is added).
        channels: width.
        num_convs: convolutions between the first and the last.
        scale: any whole number.
        act: 'prelu' (one slope per channel), 'relu' or 'leakyrelu' (0.1).

    Raises:
        UserError: a scale below 1, an unknown activation, unequal channels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: int = 64,
        num_convs: int = 16,
        scale: int = 4,
        act: str = "prelu",
    ) -> None:
        super().__init__()
        acts = {
            "prelu": lambda: nn.PReLU(channels),
            "relu": lambda: nn.ReLU(inplace=True),
            "leakyrelu": lambda: nn.LeakyReLU(0.1, inplace=True),
        }
        if act not in acts:
            raise UserError(f"act={act!r} is not known; choose one of {', '.join(acts)}")
        if in_channels != out_channels or type(scale) is not int or scale < 1:
            raise UserError(
                "SRVGGNetCompact adds its input: in_channels and out_channels must be equal, and "
                f"its scale ({scale}) a whole number"
            )
        self.scale = scale
        layers: list[nn.Module] = []
        for width in [in_channels] + [channels] * num_convs:
            layers += [nn.Conv2d(width, channels, 3, padding=1), acts[act]()]
        layers.append(nn.Conv2d(channels, out_channels * scale**2, 3, padding=1))
        self.body = nn.Sequential(*layers)
        self.receptive_radius = receptive_radius([("conv", num_convs + 2), ("up", scale)])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped."""
        base = functional.interpolate(x, scale_factor=self.scale)
        return functional.pixel_shuffle(self.body(x), self.scale) + base
