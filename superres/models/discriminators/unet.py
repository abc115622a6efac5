"""Real-ESRGAN's discriminator (Wang et al., 2021, Figure 6; its key names)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu
from torch.nn.utils.parametrizations import spectral_norm

from superres.errors import UserError
from superres.registry import MODELS


@MODELS.register_module()
class UNetDiscriminator(nn.Module):
    """A U-Net with spectral normalisation: a logit for every pixel.

    Args:
        channels: of the outermost layers; the innermost has eight times as many.
        in_channels: of the patches.

    Raises:
        UserError: patches that are no multiple of 8.
    """

    def __init__(self, channels: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        c = channels

        def conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Module:
            return spectral_norm(nn.Conv2d(before, after, kernel, stride, 1, bias=False))

        self.conv0 = nn.Conv2d(in_channels, c, 3, 1, 1)
        self.conv1, self.conv2, self.conv3 = (conv(c << i, c << i + 1, 4, 2) for i in range(3))
        self.conv4, self.conv5, self.conv6 = (conv(c << i, c << i - 1) for i in (3, 2, 1))
        self.conv7, self.conv8 = conv(c, c), conv(c, c)
        self.conv9 = nn.Conv2d(c, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, 1, H, W)."""
        if x.shape[-1] % 8 or x.shape[-2] % 8:
            raise UserError(
                f"UNetDiscriminator: patches of {x.shape[-1]}x{x.shape[-2]} are no multiples of 8: "
                "change lq_patch_size"
            )
        down = [leaky_relu(self.conv0(x), 0.2)]
        for layer in (self.conv1, self.conv2, self.conv3):
            down.append(leaky_relu(layer(down[-1]), 0.2))
        y = down.pop()
        for layer in (self.conv4, self.conv5, self.conv6):
            y = interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            y = leaky_relu(layer(y), 0.2) + down.pop()
        for layer in (self.conv7, self.conv8):
            y = leaky_relu(layer(y), 0.2)
        return self.conv9(y)
