"""Colour mean and numeric range around a network, the convention its weights were trained in."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import torch
from torch import Tensor, nn

from superres.errors import UserError

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour of the DIV2K training images in [0, 1], as EDSR and its descendants use it."""
UNIT_STD = (1.0, 1.0, 1.0)
# ITU-R BT.601 luma: what an RGB mean is for a one-channel network.
LUMA = (0.299, 0.587, 0.114)


def _per_channel(
    values: Sequence[float] | None, channels: int, default: float, name: str
) -> list[float]:
    """``values`` as one number per channel; an RGB triple for one channel becomes its luma."""
    if values is None:
        return [default] * channels
    given = [float(value) for value in values]
    if len(given) == 3 and channels == 1:
        given = [sum(value * weight for value, weight in zip(given, LUMA, strict=True))]
    if len(given) != channels:
        raise UserError(
            f"{name} has {len(given)} values but the network has {channels} channels; "
            f"give one value per channel, or None for {default:g}"
        )
    return given


class _Convention(nn.Module):
    """``mean`` and ``gain`` (= img_range / std), each (1, C, 1, 1), not part of the state dict."""

    mean: Tensor
    gain: Tensor

    def __init__(
        self,
        channels: int,
        rgb_mean: Sequence[float] | None = DIV2K_MEAN,
        rgb_std: Sequence[float] | None = UNIT_STD,
        img_range: float = 1.0,
    ) -> None:
        super().__init__()
        mean = _per_channel(rgb_mean, channels, 0.0, "rgb_mean")
        std = _per_channel(rgb_std, channels, 1.0, "rgb_std")
        finite = all(isfinite(value) for value in (*mean, *std, img_range))
        if not finite or min(*std, img_range) <= 0:
            raise UserError(
                f"img_range ({img_range}), rgb_mean ({rgb_mean}) and rgb_std ({rgb_std}) must be "
                "finite numbers, the range and the deviations positive"
            )
        gain = [img_range / value for value in std]
        self.is_identity = all(value == 0 for value in mean) and all(value == 1 for value in gain)
        # On the CPU even under torch.device('meta'): no weight file holds these numbers.
        for name, values in (("mean", mean), ("gain", gain)):
            buffer = torch.tensor(values, dtype=torch.float32, device="cpu").view(1, -1, 1, 1)
            self.register_buffer(name, buffer, persistent=False)


class Normalise(_Convention):
    """(N, C, H, W) in [0, 1] to the network's numbers: ``(x - mean) / std * img_range``.

    ``rgb_mean`` and ``rgb_std`` are in [0, 1] units whatever ``img_range`` is; None means no
    shift and no scaling.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x if self.is_identity else (x - self.mean) * self.gain


class Denormalise(_Convention):
    """The way back: ``y / img_range * std + mean``, not clamped."""

    def forward(self, y: Tensor) -> Tensor:
        return y if self.is_identity else y / self.gain + self.mean
