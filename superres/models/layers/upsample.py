"""Upsampling by convolution and pixel shuffle (sub-pixel convolution, Shi et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from superres.errors import UserError
from superres.models.layers.backbone import receptive_radius

SCALES = (2, 3, 4, 8)
"""Scales a pixel-shuffle upsampler is built for."""


class PixelShuffle(nn.PixelShuffle):
    """torch's, with equal values, that keeps channels innermost on a GPU as well.

    There torch's gives the plain layout, and the convolutions beside it turn it over and back.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_cuda or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        return shuffled(x, self.upscale_factor)


def shuffled(x: Tensor, factor: int) -> Tensor:
    """(N, C * factor**2, h, w), channels innermost, to (N, C, h * factor, w * factor), as it was:
    by one copy."""
    count, _, height, width = x.shape
    y = x.permute(0, 2, 3, 1).reshape(count, height, width, -1, factor, factor)
    y = y.permute(0, 1, 4, 2, 5, 3).reshape(count, height * factor, width * factor, -1)
    return y.permute(0, 3, 1, 2)


class PixelShufflePack(nn.Module):
    """conv C -> W*f*f, PixelShuffle(f), with an optional activation before or after the shuffle.

    ``width``, W, is ``channels`` where it is not given.
    """

    def __init__(
        self,
        channels: int,
        factor: int,
        act_before: nn.Module | None = None,
        act_after: nn.Module | None = None,
        width: int | None = None,
    ) -> None:
        super().__init__()
        self.upsample_conv = nn.Conv2d(channels, (width or channels) * factor**2, 3, padding=1)
        self.act_before = act_before or nn.Identity()
        self.shuffle = PixelShuffle(factor)
        self.act_after = act_after or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act_after(self.shuffle(self.act_before(self.upsample_conv(x))))


def upsample_factors(scale: int) -> tuple[int, ...]:
    """Stages of the published upsamplers: 2 -> (2,), 3 -> (3,), 4 -> (2, 2), 8 -> (2, 2, 2).

    Raises:
        UserError: another scale.
    """
    if isinstance(scale, bool) or scale not in SCALES:
        raise UserError(f"scale must be one of {', '.join(map(str, SCALES))}, not {scale!r}")
    return (3,) if scale == 3 else (2,) * (scale.bit_length() - 1)


def radius_around(trunk: int, scale: int, last: int = 1) -> int:
    """The receptive radius of a network that ends with an `Upsampler` and convolutions.

    Args:
        trunk: total kernel radius of what is before the upsampler.
        scale: of the upsampler.
        last: total kernel radius of what is behind it.
    """
    steps = [step for factor in upsample_factors(scale) for step in (("conv", 1), ("up", factor))]
    return receptive_radius([("conv", trunk), *steps, ("conv", last)])


class Upsampler(nn.Sequential):
    """`PixelShufflePack` stages for ``scale``; the activations are made again for each stage.

    ``width`` is that behind each stage, ``channels`` where it is not given.
    """

    def __init__(
        self,
        channels: int,
        scale: int,
        act_before: Callable[[], nn.Module] | None = None,
        act_after: Callable[[], nn.Module] | None = None,
        width: int | None = None,
    ) -> None:
        width = width or channels
        super().__init__(
            *(
                PixelShufflePack(
                    width if stage else channels,
                    factor,
                    act_before and act_before(),
                    act_after and act_after(),
                    width,
                )
                for stage, factor in enumerate(upsample_factors(scale))
            )
        )
