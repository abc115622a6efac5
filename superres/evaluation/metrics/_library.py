"""Metrics that optional libraries compute from tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from superres.evaluation.checks import peak_of
from superres.imaging.colour import rgb_to_y

if TYPE_CHECKING:
    import torch

    from superres.evaluation.protocols import Protocol

Compute = Callable[["torch.Tensor", "torch.Tensor"], Any]
"""SR and HR, (1, 3, H, W) or (1, 1, H, W), float64 in [0, 1], to the score."""

TORCHMETRICS = ("torchmetrics", "pip install torchmetrics")


class LibraryMetric:
    """A metric of a library, loaded when it is made: weights may be fetched then.

    Attributes:
        luma: whether it is taken of Y under protocols that score Y.
        needs: (library, what to install for it).
    """

    luma = False
    needs = TORCHMETRICS

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.compute = self.load()

    def load(self) -> Compute:
        """The function that scores."""
        raise NotImplementedError

    def __call__(self, sr: np.ndarray, hr: np.ndarray, protocol: Protocol) -> Any:
        """The score of one pair, as a tensor of one number."""
        import torch

        peak = peak_of(sr, hr)
        if sr.ndim == 2:
            sr, hr = (np.repeat(x[:, :, None], 3, axis=2) for x in (sr, hr))
        if self.luma and protocol.channel == "y":
            options = {"weights": protocol.luma, "rounded": protocol.round_y}
            sr, hr = (rgb_to_y(x, **options)[:, :, None] for x in (sr, hr))
        planes = (np.ascontiguousarray(x.transpose(2, 0, 1), np.float64) / peak for x in (sr, hr))
        with torch.inference_mode():
            return self.compute(
                *(torch.from_numpy(x)[None].clamp_(0, 1).to(self.device) for x in planes)
            )
