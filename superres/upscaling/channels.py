"""Grey, RGB, alpha: any image through a network of one or three channels."""

from __future__ import annotations

import math

import numpy as np

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.inference.luma import luma
from superres.inference.network import Backend
from superres.inference.network import in_channels as channel_notes
from superres.inference.windows import resized

# Colours spread this far under what is fully transparent: an edge's neighbourhood as a network
# sees it. Further away nothing of a colour reaches a pixel that shows.
_BLEED = 12


class AnyChannels:
    """A network made to take 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels.

    Grey goes through a three-channel network as three equal channels, whose luma is taken. Colour
    goes through a one-channel network as luma; chroma is upscaled bicubically, as the papers of
    such networks do. Alpha is upscaled by the network on its own, held within what the nearest
    pixels have, so that what is opaque stays so and no halo rings around an edge. Beneath
    fully transparent pixels, whose stored colour nobody is meant to see (mostly black), the
    colours around are continued first: that is what keeps edges free of a dark fringe.

    Args:
        net: what it is made of.
        in_channels: of ``net``: 1 or 3.
        channels: of the images: 1 to 4.
    """

    def __init__(self, net: Backend, in_channels: int, channels: int) -> None:
        self.net, self.in_channels, self.bytes_per_pixel = net, in_channels, net.bytes_per_pixel
        self.scale, self.device = net.scale, net.device
        radius = net.receptive_radius
        if radius is not None:
            radius = max(radius, 3) if channels > in_channels else radius  # bicubic chroma
            radius = math.ceil(radius) + (0 if channels % 2 else _BLEED)
        self.receptive_radius = radius

    def run(self, x: np.ndarray) -> np.ndarray:
        """(N, C, h, w) in [0, 1], C = 1 to 4, to (N, C, h * scale, w * scale)."""
        if x.shape[1] % 2:
            return self._colour(x)
        alpha = x[:, -1:]
        colour = self._colour(bleed(x[:, :-1], alpha))
        return np.concatenate([colour, self._alpha(alpha)], 1)

    def _colour(self, x: np.ndarray) -> np.ndarray:
        if x.shape[1] == self.in_channels:
            y = self.net.run(x)
            if y.shape[1] < x.shape[1]:
                raise UserError(f"this network makes {y.shape[1]} channel of {x.shape[1]}")
            return luma(y) if x.shape[1] == 1 and y.shape[1] == 3 else y
        if x.shape[1] == 1:
            return luma(self.net.run(x.repeat(3, 1)))
        grey = luma(x)
        size = (x.shape[2] * self.scale, x.shape[3] * self.scale)
        return resized(x - grey, size) + self.net.run(grey)[:, :1]

    def _alpha(self, alpha: np.ndarray) -> np.ndarray:
        low, high = around(alpha, self.scale)
        if np.array_equal(low, high):  # opaque everywhere, mostly
            return low
        return np.clip(self._colour(alpha), low, high)


def bleed(colour: np.ndarray, alpha: np.ndarray, steps: int = _BLEED) -> np.ndarray:
    """Continue the colours around into where ``alpha`` is 0, a pixel further with each step.

    Args:
        colour: (N, 1 or 3, h, w).
        alpha: (N, 1, h, w).
        steps: pixels; further away the colour becomes a middle grey.
    """
    if (alpha > 0).all():
        return colour
    cv2 = import_cv2()

    def summed(plane: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(plane, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)

    result = np.array(colour, np.float32, order="C")
    for planes, (mask,) in zip(result, (alpha > 0).astype(np.float32), strict=True):
        planes *= mask
        for _ in range(steps):
            weight = summed(mask)
            fresh = (weight > 0.5) & (mask == 0)
            for plane in planes:
                plane[fresh] = summed(plane)[fresh] / weight[fresh]
            mask = np.maximum(mask, fresh)
        planes += 0.5 * (1 - mask)
    return result


def around(alpha: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest of the pixels that an output pixel lies between.

    Those are the ones that bilinear interpolation would mix.

    Args:
        alpha: (N, 1, h, w).

    Returns:
        Two of (N, 1, h * scale, w * scale).
    """
    cv2, wide = import_cv2(), alpha.repeat(scale, 2).repeat(scale, 3)
    near = np.ones((scale // 2 * 2 + 1,) * 2, np.uint8)
    low, high = (np.stack([of(x[0], near)[None] for x in wide]) for of in (cv2.erode, cv2.dilate))
    return low, high


def channels_of(module: object) -> int:
    """How many channels a network takes, 1 or 3; of Y of YCbCr: 3, see `superres.inference.luma`.

    Raises:
        UserError: another number, as it states itself.
    """
    channels = 3 if getattr(module, "studio_luma", False) else channel_notes(module)
    if channels not in (1, 3):
        found = f"this {type(module).__name__} takes {channels} channels"
        raise UserError(f"{found}; expected is RGB (3) or grey (1)")
    return channels
