"""Receptive radius of a feed-forward network, computed the way the network is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Step = tuple[Literal["conv", "up", "interpolate"], int]


def receptive_radius(steps: Sequence[Step]) -> int:
    """How many input pixels away an input pixel can still change an output pixel.

    The distance is counted in whole input pixels from the input pixel that the output pixel lies
    in, the worst case over the output pixels of one input pixel.

    Args:
        steps: the network from input to output: ``("conv", r)`` for a total kernel radius ``r``
            at the current resolution, ``("up", f)`` for a pixel shuffle by ``f``,
            ``("interpolate", f)`` for a bicubic enlargement by ``f`` (four taps, no antialias).
    """
    scale = 1
    for kind, value in steps:
        scale *= 1 if kind == "conv" else value
    low, high = 0, scale - 1  # the output pixels of input pixel 0
    for kind, value in reversed(steps):
        if kind == "conv":
            low, high = low - value, high + value
        elif kind == "up":
            low, high = low // value, high // value
        elif value > 1:
            # Output p lies at (p + 1/2) / f - 1/2 = (2p + 1 - f) / 2f and has two taps on either
            # side; on an input pixel's centre it has that pixel only, its neighbour p then tells.
            low = (2 * low + 1 - value) // (2 * value) - 1
            high = -(-(2 * high + 1 - value) // (2 * value)) + 1
    return max(-low, high)
