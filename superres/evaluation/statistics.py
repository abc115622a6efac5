"""Means over seeds, and the paired difference of two methods with its confidence interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def paired_difference(
    first: Mapping[str, float], second: Mapping[str, float], confidence: float = 0.95
) -> dict[str, Any] | None:
    """Mean of ``first - second`` over the images that both have, with Student's interval.

    mean ± t * s / sqrt(n), where t is the quantile of Student's distribution with n - 1 degrees
    of freedom and s the standard deviation of the differences.

    Returns:
        ``mean``, the interval's ``low`` and ``high`` (taking images as drawn at random; None of a
        single image) and the ``count`` of images; None where none has a finite score by both.
    """
    pairs = [(first[name], second[name]) for name in first.keys() & second.keys()]
    differences = [a - b for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    count = len(differences)
    if not count:
        return None
    mean, deviation = mean_and_deviation(differences)
    if deviation is None:
        return {"mean": mean, "low": None, "high": None, "count": count}
    half = student_quantile((1 + confidence) / 2, count - 1) * deviation / math.sqrt(count)
    return {"mean": mean, "low": mean - half, "high": mean + half, "count": count}


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1).

    The latter is None of a single value, and where a value is infinite.
    """
    mean = math.fsum(values) / len(values)
    return mean, statistics.stdev(values, mean) if len(values) > 1 and math.isfinite(mean) else None


def student_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t distribution, by bisection of its distribution function.

    That is a finite series in the angle atan(t / sqrt(freedom)) for whole degrees of freedom
    (Abramowitz and Stegun 26.7.3 and 26.7.4): images are counted.

    Args:
        probability: above 0.5 and below 1.
        freedom: degrees of freedom, at least 1.
    """
    odd, low, high = freedom % 2, 0.0, math.pi / 2
    j = np.arange(1, (freedom - 2) // 2 + 1)
    for _ in range(60):
        angle = (low + high) / 2
        ratios = math.cos(angle) ** 2 * (2 * j - 1 + odd) / (2 * j + odd)
        share = math.sin(angle) * (1 + np.cumprod(ratios).sum())
        if odd:
            share = (angle + (freedom > 1) * math.cos(angle) * share) * 2 / math.pi
        low, high = (angle, high) if 0.5 + share / 2 < probability else (low, angle)
    return math.sqrt(freedom) * math.tan(low)
