"""Making ``lq`` from ``gt`` on the way: steps to be composed in a config.

:class:`Degrade` runs a list of steps. Each step changes ``sample['lq']``, draws from the sample's
own generator only, and takes a number or a pair ``(low, high)`` to draw from wherever it says
*range*. The steps are thin: the arithmetic is that of :mod:`superres.imaging.degrade`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from numpy.random import Generator

from superres.errors import UserError
from superres.imaging import degrade
from superres.imaging.resize import imresize
from superres.registry import TRANSFORMS

from .compose import Pipeline

Sample = dict[str, Any]
Range = float | tuple[float, float] | list[float]


@TRANSFORMS.register_module()
class Degrade(BaseTransform):
    """Make ``lq`` from ``gt``; the dataset has ``make_lq='none'``.

    Afterwards the margin that ``PairedRandomCrop(margin=...)`` left around the patch, so that
    steps see beyond its border, is cut off both images.

    Args:
        steps: transforms of ``sample['lq']``; the last size must be that of ``gt`` over the scale.
        dtype: 'uint8' starts with gt's integers, so that every step rounds, as MATLAB does;
            'float32' chains the steps unrounded, on the scale 0 to 255, and rounds once.

    Raises:
        UserError: the sample has ``lq`` already, or the steps leave it at another size.
    """

    def __init__(self, steps: list[dict[str, Any]], dtype: str = "uint8") -> None:
        if dtype not in ("uint8", "float32"):
            raise UserError(f"Degrade: dtype = {dtype!r} must be 'uint8' or 'float32'")
        self.steps = Pipeline(steps)
        self.dtype = dtype

    def transform(self, sample: Sample) -> Sample:
        """Start from ``gt``, run the steps, round, cut the margin off."""
        if sample.get("lq") is not None:
            text = f"{sample.get('gt_path')}: Degrade makes lq, but the dataset gives it already"
            raise UserError(f"{text}; set make_lq='none' in the dataset")
        gt, scale = np.asarray(sample["gt"]), sample["scale"]
        if gt.dtype != np.uint8:
            raise UserError(f"{sample.get('gt_path')}: Degrade takes uint8 images, not {gt.dtype}")
        sample["lq"] = gt.astype(np.float32) if self.dtype == "float32" else gt
        sample = self.steps(sample)
        lq = sample["lq"]
        height, width = (side // scale for side in gt.shape[:2])
        if lq.shape[:2] != (height, width):
            text = f"Degrade: the steps leave lq at {lq.shape[1]}x{lq.shape[0]}; at scale {scale}"
            raise UserError(f"{text} it must be {width}x{height}. Add dict(type='ResizeToLq')")
        sample["lq"] = to_uint8(lq)
        return cut_margin(sample)


def to_uint8(picture: np.ndarray) -> np.ndarray:
    """Rounded half up and clamped."""
    if picture.dtype == np.uint8:
        return picture
    return np.clip(np.floor(picture + 0.5), 0, 255).astype(np.uint8)


def cut_margin(sample: Sample) -> Sample:
    """Cut ``sample['margin']`` (top, bottom, left, right, in lq pixels) off both images."""
    top, bottom, left, right = sample.pop("margin", (0, 0, 0, 0))
    for key, s in (("lq", 1), ("gt", sample["scale"])):
        height, width = sample[key].shape[:2]
        sample[key] = sample[key][top * s : height - bottom * s, left * s : width - right * s]
    return sample


def limits(low: float, high: float) -> dict[str, tuple[float, float]]:
    """Metadata of a field of a step that holds a number, or a pair to draw from."""
    return {"limits": (low, high)}


@dataclass(kw_only=True)
class Step(BaseTransform):
    """A change of ``sample['lq']`` that happens with probability ``prob``.

    Fields with :func:`limits` are pairs once the step is built.

    Raises:
        UserError: a field beyond its limits.
    """

    prob: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.prob <= 1:
            raise UserError(f"{type(self).__name__}: prob = {self.prob!r} must lie between 0 and 1")
        for one in fields(self):
            if "limits" in one.metadata:
                setattr(self, one.name, self._pair(one.name, *one.metadata["limits"]))

    def _pair(self, name: str, low: float, high: float) -> tuple[float, float]:
        value = getattr(self, name)
        pair = (value, value) if isinstance(value, int | float) else tuple(value)
        if len(pair) != 2 or not low <= pair[0] <= pair[1] <= high:
            what = f"{name} = {value!r} must be a number or (low, high)"
            raise UserError(f"{type(self).__name__}: {what} between {low:g} and {high:g}")
        return pair

    def transform(self, sample: Sample) -> Sample:
        """Change ``lq``, or not."""
        rng = sample["rng"]
        if self.prob == 1 or rng.random() < self.prob:
            sample["lq"] = self.apply(np.asarray(sample["lq"]), rng, sample)
        return sample

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        """Return the image, changed, in the same type."""
        raise NotImplementedError


def _step(cls: type) -> type:
    """Register a step; its annotated fields are its arguments."""
    return TRANSFORMS.register_module()(dataclass(kw_only=True)(cls))


@_step
class ResizeToLq(Step):
    """Resize to the size of gt over the scale; MATLAB's bicubic on the integers of gt is exact.

    Args:
        method: of :func:`superres.imaging.resize.imresize`, or several to draw one from.
        border: 'reflect' (newer MATLAB) or 'replicate'.
    """

    method: str | list[str] = "bicubic"
    border: str = "reflect"

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        size = [side // sample["scale"] for side in sample["gt"].shape[:2]]
        return imresize(image, size=size, method=choose(rng, self.method), border=self.border)


@_step
class BlurDown(Step):
    """BD: Gaussian blur, then every scale-th pixel. The papers': x3, 7x7, sigma 1.6."""

    kernel_size: int = 7
    sigma: float = 1.6
    border: str = "replicate"

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        scale = sample["scale"]
        return degrade.blur_down(image, scale, self.kernel_size, self.sigma, self.border)


@TRANSFORMS.register_module()
class OneOf(BaseTransform):
    """Run one of several lists of transforms.

    Args:
        choices: transforms, or lists of them.
        odds: how likely each is; default: all alike.
    """

    def __init__(self, choices: list[Any], odds: list[float] | None = None) -> None:
        if not choices:
            raise UserError("OneOf: choices is empty")
        self.choices = [Pipeline(list(c) if isinstance(c, list | tuple) else [c]) for c in choices]
        self.odds = shares("OneOf: odds", odds or [1.0] * len(choices), len(choices))

    def transform(self, sample: Sample) -> Sample:
        """Draw one and run it."""
        return self.choices[way(sample["rng"], self.odds)](sample)


def choose(rng: Generator, choices: str | Sequence[str]) -> str:
    """Return one of them, all alike; a single one without a draw."""
    choices = [choices] if isinstance(choices, str) else choices
    return choices[0] if len(choices) == 1 else choices[int(rng.integers(len(choices)))]


def shares(what: str, odds: Any, count: int) -> np.ndarray:
    """Upper ends of the parts of [0, 1) that the odds stand for, without the last."""
    values = np.asarray(odds, float)
    if values.shape != (count,) or (values < 0).any() or not values.sum() > 0:
        raise UserError(f"{what} = {odds!r} must be {count} numbers, none negative, one above 0")
    return np.cumsum(values)[:-1] / values.sum()


def way(rng: Generator, ends: np.ndarray) -> int:
    """Draw the number of a part of :func:`shares`."""
    return int(np.searchsorted(ends, rng.random(), side="right"))


def draw(rng: Generator, pair: tuple[float, float]) -> float:
    """A value from low to high; no draw where they are equal."""
    return pair[0] if pair[0] == pair[1] else float(rng.uniform(*pair))


def happens(rng: Generator, odds: float) -> bool:
    """Whether something of these odds does; no draw where it never does."""
    return bool(odds and rng.random() < odds)


def draw_size(rng: Generator, pair: tuple[float, float]) -> int:
    """An odd kernel size from low to high."""
    low, high = (int(side) // 2 for side in pair)
    return 2 * (low if low == high else int(rng.integers(low, high + 1))) + 1


@_step
class RandomGaussianBlur(Step):
    """Blur with a Gaussian of random width, or of two widths and a random direction.

    Args:
        sigma: range, in pixels.
        kernel_size: range; an odd size is drawn.
        anisotropic: probability of two widths.
        prob: of blurring at all.
    """

    sigma: Range = field(metadata=limits(1e-3, 1e3))
    kernel_size: Range = field(default=21, metadata=limits(1, 999))
    anisotropic: float = 1.0
    border: str = "reflect"

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        size = draw_size(rng, self.kernel_size)
        along = across = draw(rng, self.sigma)
        angle = 0.0
        if rng.random() < self.anisotropic:
            across, angle = draw(rng, self.sigma), float(rng.uniform(0, math.pi))
        kernel = degrade.gaussian_kernel(size, along, across, angle)
        return degrade.blur(image, kernel, self.border)


@_step
class RandomSinc(Step):
    """Low-pass with a sinc, which rings as sharpening and strong compression do.

    Args:
        cutoff: range of the angular frequency, up to pi.
        kernel_size: range; an odd size is drawn.
        prob: of filtering at all.
    """

    cutoff: Range = field(default=(math.pi / 3, math.pi), metadata=limits(1e-3, math.pi))
    kernel_size: Range = field(default=(7, 21), metadata=limits(1, 999))

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        size = draw_size(rng, self.kernel_size)
        return degrade.blur(image, degrade.sinc_kernel(size, draw(rng, self.cutoff)))


@_step
class RandomGaussianNoise(Step):
    """Add white Gaussian noise; DN is level 30 behind the bicubic.

    Works on any ``lq``, also on one that was read.

    Args:
        level: range of the standard deviation, on the scale 0 to 255.
        grey: probability of the same noise in all channels.
        prob: of adding noise at all.
    """

    level: Range = field(metadata=limits(0, 255))
    grey: float = 0.0

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        level = draw(rng, self.level)
        return degrade.gaussian_noise(image, level, rng, happens(rng, self.grey))


@_step
class RandomPoissonNoise(Step):
    """Add shot noise, stronger where the image is brighter.

    Args:
        strength: range; 1 is plain shot noise.
        grey: probability of the same noise in all channels.
        prob: of adding noise at all.
    """

    strength: Range = field(metadata=limits(0, 1e3))
    grey: float = 0.0

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        strength = draw(rng, self.strength)
        return degrade.poisson_noise(image, strength, rng, happens(rng, self.grey))


@_step
class RandomJpeg(Step):
    """Compress as JPEG and decode again. A float image is rounded first, as a file would be.

    Args:
        quality: range, 1 to 100.
        prob: of compressing at all.
    """

    quality: Range = field(metadata=limits(1, 100))

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        quality = round(draw(rng, self.quality))
        return degrade.jpeg(to_uint8(image), quality).astype(image.dtype)


@_step
class RandomRescale(Step):
    """Upscale or shrink ``lq`` by a random factor; a later ``ResizeToLq`` brings it to its size.

    Args:
        factor: (low, high) with low <= 1 <= high.
        odds: of upscaling (factor from 1 to high), shrinking (low to 1) and leaving the size.
        method: of :func:`superres.imaging.resize.imresize`, or several to draw one from.
        of: 'gt' or 'lq': the size that the factor multiplies.
    """

    factor: Range = field(metadata=limits(1e-2, 1e2))
    odds: tuple[float, float, float] = (0.2, 0.7, 0.1)
    method: str | list[str] | tuple[str, ...] = ("box", "bilinear", "bicubic")
    of: str = "gt"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.factor[0] <= 1 <= self.factor[1]:
            raise UserError(f"RandomRescale: 1 must lie within factor = {self.factor!r}")
        if self.of not in ("gt", "lq"):
            raise UserError(f"RandomRescale: of = {self.of!r} must be 'gt' or 'lq'")
        self._ends = shares("RandomRescale: odds", self.odds, 3)

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        low, high = self.factor
        factor = draw(rng, ((1.0, high), (low, 1.0), (1.0, 1.0))[way(rng, self._ends)])
        over = sample["scale"] if self.of == "lq" else 1
        method = choose(rng, self.method)
        size = [max(1, round(side / over * factor)) for side in sample["gt"].shape[:2]]
        return imresize(image, size=size, method=method)
