"""Upsampling by convolution and pixel shuffle (sub-pixel convolution, Shi et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from superres.errors import UserError
from superres.models.layers.receptive import Step

SCALES = (2, 3, 4, 8)
"""Scales a pixel-shuffle upsampler is built for."""


def check_scale(scale: int, network: str, scales: tuple[int, ...] = SCALES) -> None:
    """UserError unless ``network`` exists for ``scale``."""
    if isinstance(scale, bool) or scale not in scales:
        raise UserError(
            f"{network} has no x{scale} variant; scale must be one of {', '.join(map(str, scales))}"
        )


class PixelShufflePack(nn.Module):
    """conv C -> C*f*f, PixelShuffle(f), with an optional activation before or after the shuffle."""

    def __init__(
        self,
        channels: int,
        factor: int,
        act_before: nn.Module | None = None,
        act_after: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.upsample_conv = nn.Conv2d(channels, channels * factor**2, 3, padding=1)
        self.act_before = act_before
        self.shuffle = nn.PixelShuffle(factor)
        self.act_after = act_after

    def forward(self, x: Tensor) -> Tensor:
        x = self.upsample_conv(x)
        if self.act_before is not None:
            x = self.act_before(x)
        x = self.shuffle(x)
        return x if self.act_after is None else self.act_after(x)


def upsample_factors(scale: int) -> tuple[int, ...]:
    """Stages of the published upsamplers: 2 -> (2,), 3 -> (3,), 4 -> (2, 2), 8 -> (2, 2, 2)."""
    check_scale(scale, "the upsampler")
    return (3,) if scale == 3 else (2,) * (scale.bit_length() - 1)


def upsample_steps(scale: int) -> list[Step]:
    """The steps of an `Upsampler`, for `receptive_radius`."""
    steps: list[Step] = []
    for factor in upsample_factors(scale):
        steps += [("conv", 1), ("up", factor)]
    return steps


class Upsampler(nn.Sequential):
    """`PixelShufflePack` stages for ``scale``; the activations are made anew for each stage."""

    def __init__(
        self,
        channels: int,
        scale: int,
        act_before: Callable[[], nn.Module] | None = None,
        act_after: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__(
            *(
                PixelShufflePack(
                    channels,
                    factor,
                    act_before and act_before(),
                    act_after and act_after(),
                )
                for factor in upsample_factors(scale)
            )
        )
