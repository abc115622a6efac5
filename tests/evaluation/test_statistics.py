"""Against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from superres.evaluation.statistics import paired_difference, student_quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 13, 99, 1000, 100_000])
@pytest.mark.parametrize("probability", [0.55, 0.9, 0.975, 0.995, 0.9995])
def test_quantiles(probability, freedom):
    expected = stats.t.ppf(probability, freedom)
    assert student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [2, 5, 100])
def test_the_interval_is_scipys(count):
    rng = np.random.default_rng(count)
    first, second = rng.normal(30, 3, (2, count))
    names = [f"i{n}" for n in range(count)]
    found = paired_difference(dict(zip(names, first)), dict(zip(names, second)))
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert found["mean"] == pytest.approx(np.mean(first - second), abs=1e-12)
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found["count"] == count


def test_only_images_that_both_have():
    found = paired_difference({"a": 3.0, "b": 5.0, "c": math.inf}, {"b": 4.0, "c": 1.0, "d": 2.0})
    assert found == {"mean": 1.0, "low": None, "high": None, "count": 1}
    assert paired_difference({"a": 1.0}, {"b": 1.0}) is None
