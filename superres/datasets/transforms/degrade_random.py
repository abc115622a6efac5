"""Random steps for :class:`superres.datasets.transforms.degrade.Degrade`: blur, noise, JPEG, size.

A *range* is a number, or a pair ``(low, high)`` of which one value is drawn per sample.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from superres.errors import UserError
from superres.imaging import degrade
from superres.imaging.resize import imresize
from superres.registry import TRANSFORMS

from .degrade import Range, Sample, Step, choose, shares, to_uint8, way


def draw(rng: Generator, pair: tuple[float, float]) -> float:
    return pair[0] if pair[0] == pair[1] else float(rng.uniform(*pair))


def draw_size(rng: Generator, pair: tuple[float, float]) -> int:
    """An odd kernel size from low to high."""
    low, high = (int(side) // 2 for side in pair)
    return 2 * (low if low == high else int(rng.integers(low, high + 1))) + 1


@TRANSFORMS.register_module()
class RandomGaussianBlur(Step):
    """Blur with a Gaussian of random width, or of two widths and a random direction.

    Args:
        sigma: range, in pixels.
        kernel_size: range; an odd size is drawn.
        anisotropic: probability of two widths.
        prob: of blurring at all.
    """

    def __init__(
        self,
        sigma: Range,
        kernel_size: Range = 21,
        anisotropic: float = 1.0,
        prob: float = 1.0,
        border: str = "reflect",
    ) -> None:
        super().__init__(prob)
        self.sigma = self.pair("sigma", sigma, 1e-3, 1e3)
        self.kernel_size = self.pair("kernel_size", kernel_size, 1, 999)
        self.anisotropic = anisotropic
        self.border = border

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        size = draw_size(rng, self.kernel_size)
        along = across = draw(rng, self.sigma)
        angle = 0.0
        if rng.random() < self.anisotropic:
            across, angle = draw(rng, self.sigma), float(rng.uniform(0, math.pi))
        kernel = degrade.anisotropic_gaussian_kernel(size, along, across, angle)
        return degrade.blur(image, kernel, self.border)


@TRANSFORMS.register_module()
class RandomSinc(Step):
    """Low-pass with a sinc, which rings as sharpening and strong compression do.

    Args:
        cutoff: range of the angular frequency, up to pi.
        kernel_size: range; an odd size is drawn.
        prob: of filtering at all.
    """

    def __init__(
        self,
        cutoff: Range = (math.pi / 3, math.pi),
        kernel_size: Range = (7, 21),
        prob: float = 1.0,
    ) -> None:
        super().__init__(prob)
        self.cutoff = self.pair("cutoff", cutoff, 1e-3, math.pi)
        self.kernel_size = self.pair("kernel_size", kernel_size, 1, 999)

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        size = draw_size(rng, self.kernel_size)
        return degrade.blur(image, degrade.sinc_kernel(size, draw(rng, self.cutoff)))


@TRANSFORMS.register_module()
class RandomGaussianNoise(Step):
    """Add white Gaussian noise; DN is level 30 behind the bicubic.

    Works on any ``lq``, also on one that was read.

    Args:
        level: range of the standard deviation, on the scale 0 to 255.
        grey: probability of the same noise in all channels.
        prob: of adding noise at all.
    """

    def __init__(self, level: Range, grey: float = 0.0, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.level = self.pair("level", level, 0, 255)
        self.grey = grey

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        level = draw(rng, self.level)
        grey = bool(self.grey and rng.random() < self.grey)
        return degrade.gaussian_noise(image, level, rng, grey)


@TRANSFORMS.register_module()
class RandomPoissonNoise(Step):
    """Add shot noise, stronger where the picture is brighter.

    Args:
        strength: range; 1 is plain shot noise.
        grey: probability of the same noise in all channels.
        prob: of adding noise at all.
    """

    def __init__(self, strength: Range, grey: float = 0.0, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.strength = self.pair("strength", strength, 0, 1e3)
        self.grey = grey

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        strength = draw(rng, self.strength)
        grey = bool(self.grey and rng.random() < self.grey)
        return degrade.poisson_noise(image, strength, rng, grey)


@TRANSFORMS.register_module()
class RandomJpeg(Step):
    """Compress as JPEG and decode again. A float picture is rounded first, as a file would be.

    Args:
        quality: range, 1 to 100.
        prob: of compressing at all.
    """

    def __init__(self, quality: Range, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.quality = self.pair("quality", quality, 1, 100)

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        quality = round(draw(rng, self.quality))
        return degrade.jpeg(to_uint8(image), quality).astype(image.dtype)


@TRANSFORMS.register_module()
class RandomRescale(Step):
    """Enlarge or shrink ``lq`` by a random factor; a later ``ResizeToLq`` brings it to its size.

    Args:
        factor: (low, high) with low <= 1 <= high.
        odds: of enlarging (factor from 1 to high), shrinking (low to 1) and leaving the size.
        method: of :func:`superres.imaging.resize.imresize`, or several to draw one from.
        of: 'gt' or 'lq': the size that the factor multiplies.
    """

    def __init__(
        self,
        factor: tuple[float, float],
        odds: tuple[float, float, float] = (0.2, 0.7, 0.1),
        method: str | list[str] = ("box", "bilinear", "bicubic"),
        of: str = "gt",
    ) -> None:
        super().__init__()
        self.factor = self.pair("factor", factor, 1e-2, 1e2)
        if not self.factor[0] <= 1 <= self.factor[1]:
            raise UserError(f"RandomRescale: 1 must lie within factor = {factor!r}")
        if of not in ("gt", "lq"):
            raise UserError(f"RandomRescale: of = {of!r} must be 'gt' or 'lq'")
        self.odds = shares("RandomRescale: odds", odds, 3)
        self.methods = [method] if isinstance(method, str) else list(method)
        self.of = of

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        low, high = self.factor
        factor = draw(rng, ((1.0, high), (low, 1.0), (1.0, 1.0))[way(rng, self.odds)])
        method = choose(rng, self.methods)
        over = sample["scale"] if self.of == "lq" else 1
        size = [max(1, round(side / over * factor)) for side in sample["gt"].shape[:2]]
        return imresize(image, size=size, method=method)
