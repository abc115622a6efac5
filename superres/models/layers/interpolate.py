"""Bicubic upscaling inside a network, for those that work at the target size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from superres.errors import UserError
from superres.imaging.kernels import CUBICS, cubic_taps


class BicubicUpsample(nn.Module):
    """(N, C, h, w) to (N, C, h * scale, w * scale), not rounded; scale 1 returns the input.

    Operations that every runtime has, and that stay in float32 where torch's autocast makes
    convolutions coarse.

    Args:
        scale: integer factor.
        method: 'torch' is ``interpolate(mode='bicubic')``, which the networks of MMagic and of the
            ablation study use, 'matlab' the bicubic of the papers, whose border pixels older
            versions of MATLAB repeat and newer ones ('matlab-mirror') mirror, as `imresize` does.
    """

    taps: Tensor

    def __init__(self, scale: int, method: str = "torch") -> None:
        super().__init__()
        if isinstance(scale, bool) or not isinstance(scale, int) or scale < 1:
            raise UserError(f"scale must be a whole number of at least 1, not {scale!r}")
        if method not in CUBICS:
            raise UserError(
                f"interpolation={method!r} is not known; choose one of {', '.join(CUBICS)}"
            )
        self.scale, self.mirrors = scale, method == "matlab-mirror"
        # On the CPU even under torch.device('meta'): no weight file holds these numbers.
        taps = torch.from_numpy(cubic_taps(scale, method)).float()
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.scale == 1:
            return x
        for _ in range(2):  # columns, then rows
            width = x.shape[3]
            repeated = 1 if self.mirrors else 2
            padded = functional.pad(x, (repeated, repeated, 0, 0), mode="replicate")
            if self.mirrors:  # the second pixel out is the second one in
                padded = torch.cat([padded[..., 2:3], padded, padded[..., -3:-2]], 3)
            parts = [padded[..., i : i + width, None] * self.taps[:, i] for i in range(5)]
            x = sum(parts).flatten(3).transpose(2, 3)
        return x
