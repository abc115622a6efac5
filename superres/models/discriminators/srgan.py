"""SRGAN's discriminator (Ledig et al., 2017, Figure 4), as EDSR-PyTorch has it."""

from __future__ import annotations

from torch import Tensor, nn

from superres.errors import UserError
from superres.registry import MODELS


@MODELS.register_module()
class SRGANDiscriminator(nn.Module):
    """Strided convolutions with batch norm, then two linear layers: one logit per patch.

    Args:
        patch: height and width of the HR patches, a multiple of 16; the linear layer's size
            depends on it.
        channels: of the first convolution; the last has eight times as many.
        in_channels: of the patches.

    Raises:
        UserError: a patch that is not a multiple of 16; a batch of another size.
    """

    def __init__(self, patch: int, channels: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        if patch < 16 or patch % 16:
            raise UserError(f"SRGANDiscriminator: patch = {patch} must be a multiple of 16")
        self.patch = patch
        layers, before = [], in_channels
        for width in (channels, 2 * channels, 4 * channels, 8 * channels):
            for stride in (1, 2):
                layers += [
                    nn.Conv2d(before, width, 3, stride, 1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.LeakyReLU(0.2, inplace=True),
                ]
                before = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(before * (patch // 16) ** 2, 1024),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(1024, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, patch, patch) to (N, 1)."""
        if x.shape[-2:] != (self.patch, self.patch):
            height, width = x.shape[-2:]
            raise UserError(
                f"SRGANDiscriminator: made for patches of {self.patch}x{self.patch}, the batch has "
                f"{width}x{height}: set model.discriminator.patch to lq_patch_size times scale"
            )
        return self.classifier(self.features(x).flatten(1))
