"""Making ``lq`` from ``gt`` on the way: steps to be composed in a config.

:class:`Degrade` runs a list of steps. Each step changes ``sample['lq']``, draws from the sample's
own generator only, and takes a number or a pair ``(low, high)`` to draw from wherever it says
*range*. The steps are thin: the arithmetic is that of :mod:`superres.imaging.degrade`.
"""

from __future__ import annotations

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
    steps see beyond its border, is cut off both pictures.

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
            raise UserError(
                f"{sample.get('gt_path')}: Degrade makes lq from gt, but the dataset gives lq "
                "already; set make_lq='none' in the dataset"
            )
        gt, scale = np.asarray(sample["gt"]), sample["scale"]
        if gt.dtype != np.uint8:
            raise UserError(
                f"{sample.get('gt_path')}: Degrade takes uint8 pictures, not {gt.dtype}"
            )
        sample["lq"] = gt.astype(np.float32) if self.dtype == "float32" else gt
        sample = self.steps(sample)
        lq = sample["lq"]
        if lq.shape[:2] != (gt.shape[0] // scale, gt.shape[1] // scale):
            raise UserError(
                f"Degrade: the steps leave lq at {lq.shape[1]}x{lq.shape[0]}; of a gt of "
                f"{gt.shape[1]}x{gt.shape[0]} at scale {scale} it must be "
                f"{gt.shape[1] // scale}x{gt.shape[0] // scale}. Add dict(type='ResizeToLq')"
            )
        sample["lq"] = to_uint8(lq)
        return cut_margin(sample)


def to_uint8(picture: np.ndarray) -> np.ndarray:
    """Rounded half up and clamped."""
    if picture.dtype == np.uint8:
        return picture
    return np.clip(np.floor(picture + 0.5), 0, 255).astype(np.uint8)


def cut_margin(sample: Sample) -> Sample:
    """Cut ``sample['margin']`` (top, bottom, left, right, in lq pixels) off both pictures."""
    top, bottom, left, right = sample.pop("margin", (0, 0, 0, 0))
    for key, s in (("lq", 1), ("gt", sample["scale"])):
        height, width = sample[key].shape[:2]
        sample[key] = sample[key][top * s : height - bottom * s, left * s : width - right * s]
    return sample


class Step(BaseTransform):
    """A change of ``sample['lq']`` that happens with probability ``prob``."""

    def __init__(self, prob: float = 1.0) -> None:
        if not 0 <= prob <= 1:
            raise UserError(f"{type(self).__name__}: prob = {prob!r} must lie between 0 and 1")
        self.prob = prob

    def transform(self, sample: Sample) -> Sample:
        """Change ``lq``, or not."""
        rng = sample["rng"]
        if self.prob == 1 or rng.random() < self.prob:
            sample["lq"] = self.apply(np.asarray(sample["lq"]), rng, sample)
        return sample

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        """The picture, changed; its type stays."""
        raise NotImplementedError

    def pair(self, name: str, value: Range, low: float, high: float) -> tuple[float, float]:
        """A number or a pair as a pair within [low, high]."""
        pair = (value, value) if isinstance(value, int | float) else tuple(value)
        if len(pair) != 2 or not low <= pair[0] <= pair[1] <= high:
            raise UserError(
                f"{type(self).__name__}: {name} = {value!r} must be a number or (low, high) "
                f"between {low:g} and {high:g}"
            )
        return pair


@TRANSFORMS.register_module()
class ResizeToLq(Step):
    """Resize to the size of gt over the scale; MATLAB's bicubic on the integers of gt is exact.

    Args:
        method: of :func:`superres.imaging.resize.imresize`, or several to draw one from.
        border: 'reflect' (newer MATLAB) or 'replicate'.
    """

    def __init__(self, method: str | list[str] = "bicubic", border: str = "reflect") -> None:
        super().__init__()
        self.methods = [method] if isinstance(method, str) else list(method)
        self.border = border

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        size = [side // sample["scale"] for side in sample["gt"].shape[:2]]
        return imresize(image, size=size, method=choose(rng, self.methods), border=self.border)


@TRANSFORMS.register_module()
class BlurDown(Step):
    """BD: Gaussian blur, then every scale-th pixel. The papers': x3, 7x7, sigma 1.6."""

    def __init__(self, kernel_size: int = 7, sigma: float = 1.6, border: str = "replicate") -> None:
        super().__init__()
        self.arguments = (kernel_size, sigma, border)

    def apply(self, image: np.ndarray, rng: Generator, sample: Sample) -> np.ndarray:
        return degrade.blur_down(image, sample["scale"], *self.arguments)


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


def choose(rng: Generator, choices: list[str]) -> str:
    """One of them, all alike."""
    return choices[0] if len(choices) == 1 else choices[int(rng.integers(len(choices)))]


def shares(what: str, odds: Any, count: int) -> np.ndarray:
    """Upper ends of the parts of [0, 1) that the odds stand for, without the last."""
    values = np.asarray(odds, float)
    if values.shape != (count,) or (values < 0).any() or not values.sum() > 0:
        raise UserError(f"{what} = {odds!r} must be {count} numbers, none negative, one above 0")
    return np.cumsum(values)[:-1] / values.sum()


def way(rng: Generator, ends: np.ndarray) -> int:
    """The number of the part of :func:`shares` that is drawn."""
    return int(np.searchsorted(ends, rng.random(), side="right"))
