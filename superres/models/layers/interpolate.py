"""Bicubic enlargement inside a network, for those that work at the target size."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from superres.errors import UserError

METHODS = ("torch", "matlab")


class BicubicUpsample(nn.Module):
    """(N, C, h, w) to (N, C, h * scale, w * scale); scale 1 returns the input.

    Args:
        scale: integer factor.
        method: 'torch' is ``interpolate(mode='bicubic')``: cubic with a = -0.75, which the
            networks of MMagic and of the ablation study use. 'matlab' is the cubic with a = -0.5
            of the papers, border pixels repeated, not rounded.
    """

    def __init__(self, scale: int, method: str = "torch") -> None:
        super().__init__()
        if isinstance(scale, bool) or not isinstance(scale, int) or scale < 1:
            raise UserError(f"scale must be a whole number of at least 1, not {scale!r}")
        if method not in METHODS:
            raise UserError(
                f"interpolation={method!r} is not known; choose one of {', '.join(METHODS)}"
            )
        self.scale = scale
        self.method = method

    def forward(self, x: Tensor) -> Tensor:
        if self.scale == 1:
            return x
        size = (x.shape[-2] * self.scale, x.shape[-1] * self.scale)
        if self.method == "torch":
            return functional.interpolate(x, size=size, mode="bicubic", align_corners=False)
        # torch's antialiased kernel is the a = -0.5 cubic and is not stretched when enlarging;
        # two repeated border pixels give every output its four taps.
        padded = functional.pad(x, (2, 2, 2, 2), mode="replicate")
        size = (padded.shape[-2] * self.scale, padded.shape[-1] * self.scale)
        y = functional.interpolate(padded, size=size, mode="bicubic", antialias=True)
        cut = 2 * self.scale
        return y[..., cut:-cut, cut:-cut]
