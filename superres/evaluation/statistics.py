"""Means over seeds, and the paired difference of two methods with its confidence interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """The mean of paired differences.

    Attributes:
        mean: of first minus second.
        low, high: Student's confidence interval of the mean, taking images as drawn at random;
            None of a single image.
        count: pairs.
    """

    mean: float
    low: float | None
    high: float | None
    count: int


def paired_difference(
    first: Mapping[str, float], second: Mapping[str, float], confidence: float = CONFIDENCE
) -> Interval | None:
    """Mean of ``first - second`` over the images that both have, with Student's interval.

    mean ± t * s / sqrt(n), where t is the quantile of Student's distribution with n - 1 degrees
    of freedom and s the standard deviation of the differences.

    Returns:
        None where no image has a finite score by both.
    """
    differences = [
        first[name] - second[name]
        for name in first
        if name in second and math.isfinite(first[name]) and math.isfinite(second[name])
    ]
    count = len(differences)
    if not count:
        return None
    mean = math.fsum(differences) / count
    if count == 1:
        return Interval(mean, None, None, 1)
    half = student_quantile((1 + confidence) / 2, count - 1)
    half *= statistics.stdev(differences, mean) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count)


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1).

    The latter is None of a single value, and where a value is infinite.
    """
    mean = math.fsum(values) / len(values)
    return mean, statistics.stdev(values, mean) if len(values) > 1 and math.isfinite(mean) else None


def student_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t distribution, by bisection of its distribution function.

    Args:
        probability: above 0.5 and below 1.
        freedom: degrees of freedom, at least 1.
    """
    low, high = 0.0, 1.0
    while _student_cdf(high, freedom) < probability:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _student_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _student_cdf(t: float, freedom: float) -> float:
    """P(T <= t) for t >= 0: 1 - I_x(freedom / 2, 1 / 2) / 2 at x = freedom / (freedom + t^2)."""
    return 1 - _beta_fraction(freedom / (freedom + t * t), freedom / 2, 0.5) / 2


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22,
    evaluated with Lentz's method)."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1 - _beta_fraction(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 500):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + step * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + step / c
            c = c if abs(c) > tiny else tiny
            value *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return front * value / a
