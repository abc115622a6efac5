"""Inference: a network applied to pictures of any size.

``upscale_tensor`` is the one entry: the whole picture, tiles, the published chop, self-ensemble.
It takes any callable with ``scale`` and ``receptive_radius`` and knows nothing of models.
"""

from __future__ import annotations

import torch

from superres.errors import UserError
from superres.inference.ensemble import SelfEnsemble
from superres.inference.whole import Upscaler, check_input, forward

__all__ = ["SelfEnsemble", "Upscaler", "upscale_tensor"]


@torch.no_grad()
def upscale_tensor(
    net: Upscaler,
    x: torch.Tensor,
    tile: int | str | None = "auto",
    overlap: int | None = None,
    self_ensemble: bool = False,
    memory_budget: int | None = None,
) -> torch.Tensor:
    """Apply ``net`` to ``x``: (N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), unclamped."""
    check_input(x)
    return forward(SelfEnsemble(net) if self_ensemble else net, x)
