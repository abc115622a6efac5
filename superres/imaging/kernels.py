"""Interpolation kernels and the weights of one resize pass, as MATLAB's ``imresize`` has them.

One pass maps ``in_length`` samples to ``out_length``. Output sample ``x`` (counted from 1) lies at
``u = x / scale + (1 - 1 / scale) / 2`` on the input axis and is the weighted sum of the inputs
under the kernel placed there. With antialiasing, a kernel that shrinks the image is stretched
by ``1 / scale``. The weights of one output sample are normalised to a sum of 1.

Source: the documented behaviour of MATLAB's ``imresize``; R. Keys, "Cubic convolution
interpolation for digital image processing", 1981 (cubic with a = -0.5); C. Duchon, "Lanczos
filtering in one and two dimensions", 1979.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_EPS = np.finfo(np.float64).eps


def cubic(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Keys' cubic convolution kernel; support 4."""
    x = np.abs(x)
    x2 = x * x
    x3 = x2 * x
    inner = (a + 2) * x3 - (a + 3) * x2 + 1
    outer = a * x3 - 5 * a * x2 + 8 * a * x - 4 * a
    return inner * (x <= 1) + outer * ((x > 1) & (x <= 2))


def cubic_taps(factor: int, kind: str) -> np.ndarray:
    """(factor, 5): the weights of five neighbours in upscaling by a whole factor.

    It repeats the same taps, so each output pixel of one input pixel has its own.

    Args:
        factor: output over input.
        kind: of `CUBICS`.
    """
    phase = (np.arange(factor) + 0.5) / factor - 0.5
    return cubic(phase[:, None] - np.arange(-2, 3), CUBICS[kind])


def triangle(x: np.ndarray) -> np.ndarray:
    """Linear interpolation; support 2."""
    return np.maximum(1 - np.abs(x), 0)


def box(x: np.ndarray) -> np.ndarray:
    """1 on [-0.5, 0.5), else 0; support 1. A tie goes to the higher index, as in MATLAB."""
    return ((x >= -0.5) & (x < 0.5)).astype(np.float64)


def lanczos3(x: np.ndarray) -> np.ndarray:
    """Lanczos kernel with 3 lobes; support 6."""
    # The eps in both halves makes the value at 0 the limit 1, exactly as MATLAB writes it.
    pix = np.pi * x
    value = (np.sin(pix) * np.sin(pix / 3) + _EPS) / (pix * pix / 3 + _EPS)
    return value * (np.abs(x) < 3)


#: Method name -> (kernel, support). ``nearest`` is the box, never antialiased.
KERNELS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "bicubic": (cubic, 4.0),
    "bilinear": (triangle, 2.0),
    "box": (box, 1.0),
    "nearest": (box, 1.0),
    "lanczos3": (lanczos3, 6.0),
}
#: The cubic's a: of torch's ``interpolate(mode='bicubic')``, and of MATLAB and the papers.
CUBICS = {"torch": -0.75, "matlab": -0.5, "matlab-mirror": -0.5}
#: Border rules: ``reflect`` mirrors with the edge sample repeated (cba|abc), ``replicate`` repeats
#: the edge sample (aaa|abc).
BORDERS = ("reflect", "replicate")


@dataclass(frozen=True)
class Contributions:
    """The weights of one pass. The arrays are shared through a cache and read-only."""

    weights: np.ndarray
    """float64, (out_length, taps); each row sums to 1."""
    indices: np.ndarray
    """intp, (out_length, taps): which input sample each weight belongs to, border rule applied."""


@lru_cache(maxsize=64)
def contributions(
    in_length: int, out_length: int, scale: float, method: str, antialias: bool, border: str
) -> Contributions:
    """The weights of one pass, cached.

    Args:
        in_length: input samples on this axis, at least 1.
        out_length: output samples on this axis, at least 1.
        scale: output over input; above 1 upscales.
        method: a key of :data:`KERNELS`.
        antialias: stretch the kernel by 1/scale where scale < 1.
        border: one of :data:`BORDERS`.
    """
    kernel, support = KERNELS[method]
    stretch = scale if scale < 1 and antialias and method != "nearest" else 1.0
    support = support / stretch
    centre = np.arange(1, out_length + 1, dtype=np.float64) / scale + 0.5 * (1 - 1 / scale)
    left = np.floor(centre - support / 2)
    taps = math.ceil(support) + 2
    position = left[:, None] + np.arange(taps)
    weights = stretch * kernel(stretch * (centre[:, None] - position))
    weights = weights / weights.sum(axis=1, keepdims=True)
    indices = position.astype(np.intp) - 1  # MATLAB counts from 1
    if border == "reflect":
        indices = indices % (2 * in_length)
        indices = np.minimum(indices, 2 * in_length - 1 - indices)
    else:
        indices = np.clip(indices, 0, in_length - 1)
    used = weights.any(axis=0)
    weights, indices = weights[:, used], indices[:, used]
    weights.flags.writeable = indices.flags.writeable = False
    return Contributions(weights, indices)


@dataclass(frozen=True)
class Plan:
    """One pass as a banded matrix, cut into dense blocks."""

    blocks: tuple[tuple[int, int, int, int, np.ndarray], ...]
    """(start, stop, low, high, block): outputs [start, stop) = block @ inputs [low, high)."""
    margin: float
    """Bound of the rounding error of a sum of integer samples; 0 where every sum is exact."""


_BLOCK_ROWS = 8


@lru_cache(maxsize=32)
def plan_pass(
    in_length: int,
    out_length: int,
    scale: float,
    method: str,
    antialias: bool,
    border: str,
    peak: int,
) -> Plan:
    """The blocks of one pass over samples in [0, ``peak``], cached.

    ``peak`` 0 stands for float samples, which are never rounded; their blocks are float64. Those
    for 8-bit samples are float32 unless the kernel is so wide that its sums would be too coarse.
    The other arguments are those of :func:`contributions`.
    """
    table = contributions(in_length, out_length, scale, method, antialias, border)
    taps = table.weights.shape[1]
    reach = float(np.abs(table.weights).sum(axis=1).max()) * peak  # of any partial sum
    dtype = np.float32 if 0 < peak < 256 and taps * reach < 40_000 else np.float64
    bits = _fraction_bits(table.weights)
    # In units of 2**-bits all weights, products and partial sums (and the half that is added to
    # round) are whole numbers: exact in any order as long as they fit the mantissa.
    exact = bits is not None and (reach + 1) * 2.0**bits < 2 ** (np.finfo(dtype).nmant + 1)
    margin = 0.0 if exact else (taps + 4) * float(np.finfo(dtype).eps) * reach
    blocks = []
    for start in range(0, out_length, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, out_length)
        index, weight = table.indices[start:stop], table.weights[start:stop]
        low, high = int(index.min()), int(index.max()) + 1
        block = np.zeros((stop - start, high - low))
        # add.at, because a border rule maps several taps to one sample
        np.add.at(block, (np.arange(stop - start)[:, None], index - low), weight)
        block = block.astype(dtype)
        block.flags.writeable = False
        blocks.append((start, stop, low, high, block))
    return Plan(tuple(blocks), margin)


def _fraction_bits(weights: np.ndarray) -> int | None:
    """The smallest b >= 1 with all weights * 2**b whole; None if there is none up to 40."""
    for bits in range(1, 41):
        scaled = weights * 2.0**bits
        if np.array_equal(scaled, np.rint(scaled)):
            return bits
    return None
