"""Grey, RGB, alpha: any picture through a network of one or three channels."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.imaging.resize_torch import imresize_tensor
from superres.inference import Upscaler, radius_of
from superres.inference import in_channels as told_channels

_LUMA = (0.299, 0.587, 0.114)
# Colours spread this far under what is fully transparent: an edge's neighbourhood as a network
# sees it. Further away nothing of a colour reaches a pixel that shows.
_BLEED = 12


class AnyChannels:
    """A network made to take 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels.

    Grey goes through a three-channel network as three equal channels, whose luma is taken. Colour
    goes through a one-channel network as luma; chroma is enlarged bicubically, as the papers of
    such networks do. Alpha is enlarged by the network on its own, held within what the nearest
    pixels have, so that what is opaque stays so and no halo rings around an edge. Beneath
    fully transparent pixels, whose stored colour nobody is meant to see (mostly black), the
    colours around are continued first: that is what keeps edges free of a dark fringe.

    Args:
        net: see :class:`~superres.inference.Upscaler`.
        in_channels: of ``net``: 1 or 3.
    """

    def __init__(self, net: Upscaler, in_channels: int = 3) -> None:
        self.net = net
        self.in_channels = in_channels
        self.scale = net.scale
        self.receptive_radius = self.radius_for(in_channels)

    def radius_for(self, channels: int) -> int | None:
        """How far an output pixel of a picture with so many channels looks."""
        radius = radius_of(self.net)
        if radius is None:
            return None
        if channels > self.in_channels:
            radius = max(radius, 3)  # bicubic chroma
        return math.ceil(radius) + (0 if channels % 2 else _BLEED)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) in [0, 1], C = 1 to 4, to (N, C, h * scale, w * scale)."""
        channels = x.shape[1]
        if channels % 2:
            return self._colour(x)
        alpha = x[:, -1:]
        colour = self._colour(bleed(x[:, :-1], alpha))
        return torch.cat([colour, self._alpha(alpha)], 1)

    def _colour(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] == self.in_channels:
            y = self.net(x.contiguous())
            return luma(y) if x.shape[1] == 1 and y.shape[1] == 3 else y
        if x.shape[1] == 1:
            return luma(self.net(x.repeat(1, 3, 1, 1)))
        grey = luma(x)
        chroma = imresize_tensor(x - grey, scale=self.scale)
        return chroma + self.net(grey)[:, :1]

    def _alpha(self, alpha: torch.Tensor) -> torch.Tensor:
        low, high = (nearest(alpha, self.scale, pick) for pick in (torch.minimum, torch.maximum))
        if torch.equal(low, high):  # opaque everywhere, mostly
            return low
        return torch.minimum(torch.maximum(self._colour(alpha), low), high)


def luma(x: torch.Tensor) -> torch.Tensor:
    """(N, 3, h, w) to (N, 1, h, w): ITU-R BT.601, full range; grey stays itself."""
    weights = torch.tensor(_LUMA, dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def bleed(colour: torch.Tensor, alpha: torch.Tensor, steps: int = _BLEED) -> torch.Tensor:
    """Continue the colours around into where ``alpha`` is 0, a pixel further with each step.

    Args:
        colour: (N, 1 or 3, h, w).
        alpha: (N, 1, h, w).
        steps: pixels; further away the colour becomes a middle grey.
    """
    if bool((alpha > 0).all()):
        return colour
    cv2 = import_cv2()  # some forty filters of a few lines each: torch would mostly wait

    def around(plane: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(plane, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)

    result = colour.float().cpu().numpy().copy()
    masks = (alpha > 0).float().cpu().numpy()
    for planes, (mask,) in zip(result, masks, strict=True):
        planes *= mask
        for _ in range(steps):
            weight = around(mask)
            fresh = (weight > 0.5) & (mask == 0)
            for plane in planes:
                plane[fresh] = around(plane)[fresh] / weight[fresh]
            mask = np.maximum(mask, fresh)
        planes += 0.5 * (1 - mask)
    return torch.from_numpy(result).to(colour)


def nearest(
    x: torch.Tensor, scale: int, pick: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The least or largest of the pixels that an output pixel lies between.

    Those are the ones that bilinear interpolation would mix, and for an output pixel in the very
    middle of an input pixel the neighbours on both sides.

    Args:
        x: (N, C, h, w).
        pick: of two tensors: `torch.minimum` or `torch.maximum`.

    Returns:
        (N, C, h * scale, w * scale).
    """
    for dim in (2, 3):
        at = torch.arange(x.shape[dim], device=x.device)
        before = x.index_select(dim, (at - 1).clamp(min=0))
        after = x.index_select(dim, (at + 1).clamp(max=len(at) - 1))
        parts = []
        for place in range(scale):
            side = 2 * place + 1 - scale
            part = x if side > 0 else pick(x, before)
            parts.append(part if side < 0 else pick(part, after))
        x = torch.stack(parts, dim + 1).flatten(dim, dim + 1)
    return x


def channels_of(module: object) -> int:
    """How many channels a network takes, 1 or 3.

    Raises:
        UserError: another number, as it states itself.
    """
    channels = told_channels(module)
    if channels not in (1, 3):
        raise UserError(
            f"this {type(module).__name__} takes {channels} channels; images are upscaled by "
            "networks that take RGB (3) or grey (1)"
        )
    return channels
