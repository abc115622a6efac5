"""Published one-channel networks on images: Y of YCbCr goes through them, chroma beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from superres.inference.network import Backend, in_channels
from superres.inference.windows import resized

_WEIGHTS = np.array((0.299, 0.587, 0.114), np.float32).reshape(1, 3, 1, 1)


def luma(x: np.ndarray) -> np.ndarray:
    """(N, 3, h, w) to (N, 1, h, w): ITU-R BT.601, full range; grey stays itself."""
    return (x * _WEIGHTS).sum(1, keepdims=True)


def on_luma(net: Backend, model: Any, channels: int = 3) -> Backend:
    """``net``; where ``model``, that it computes, takes Y of YCbCr: `OnLuma` made of it."""
    wants_y = getattr(model, "studio_luma", False) and in_channels(model) == 1
    return OnLuma(net, channels) if wants_y else net


class OnLuma(Backend):
    """A network of one channel, trained on Y of YCbCr, as one that takes images.

    It is fed Y in 16 to 235 of 255, not rounded (BT.601), and its result is clamped to [0, 1], as
    the published programs do. Chroma is upscaled by MATLAB's bicubic.

    Args:
        net: the network.
        channels: of the images: 3 (RGB) or 1 (grey).
    """

    def __init__(self, net: Backend, channels: int) -> None:
        radius = None if net.receptive_radius is None else max(net.receptive_radius, 3)
        super().__init__(net.scale, radius, channels, net.bytes_per_pixel)
        self.name, self.device, self.notes, self._net = net.name, net.device, net.notes, net

    def _run(self, x: np.ndarray) -> np.ndarray:
        """(N, 1 or 3, h, w) in [0, 1] to (N, 1 or 3, h * scale, w * scale)."""
        grey = luma(x) if x.shape[1] == 3 else x
        y = np.clip(self._net.run(16 / 255 + grey * (219 / 255)), 0, 1) * (255 / 219) - 16 / 219
        if x.shape[1] == 1:
            return y
        return resized(x - grey, (y.shape[2], y.shape[3])) + y
