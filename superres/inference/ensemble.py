"""Self-ensemble: the mean over the eight flips and transposes of a picture (EDSR+, x8)."""

from __future__ import annotations

from collections.abc import Callable

import torch

from superres.inference.whole import Upscaler, radius_of


class SelfEnsemble:
    """A network that averages another one over the eight dihedral views of its input.

    View i flips the width if bit 0 is set, then the height if bit 1 is, then transposes if bit 2
    is; the result is taken back in the opposite order. The eight float results are averaged
    unclamped, so that whoever rounds does so once (EDSR-PyTorch, src/model/__init__.py,
    forward_x8; Lim et al. 2017, section 3.4).

    Args:
        net: the network; its ``scale`` and ``receptive_radius`` are this one's too.
        forward: what to call instead of ``net``, such as ``net`` applied in tiles.
    """

    def __init__(
        self, net: Upscaler, forward: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> None:
        self.scale = net.scale
        self.receptive_radius = radius_of(net)
        self._forward = net if forward is None else forward

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor | None = None
        for index in range(8):
            y = back(self._forward(view(x, index)), index)
            total = y.clone() if total is None else total.add_(y)
        return total.div_(8)


def view(x: torch.Tensor, index: int) -> torch.Tensor:
    """The dihedral view 0..7 of (..., H, W), contiguous."""
    flips = [axis for axis, bit in ((-1, 1), (-2, 2)) if index & bit]
    x = x.flip(flips) if flips else x
    return x.transpose(-1, -2).contiguous() if index & 4 else x


def back(y: torch.Tensor, index: int) -> torch.Tensor:
    """The inverse of :func:`view`."""
    y = y.transpose(-1, -2) if index & 4 else y
    flips = [axis for axis, bit in ((-1, 1), (-2, 2)) if index & bit]
    return y.flip(flips) if flips else y
