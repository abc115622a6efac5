"""Comparison pictures."""

from __future__ import annotations

import numpy as np
import pytest

from superres.errors import UserError
from superres.imaging.comparison import busiest_square, comparison, save_comparison
from superres.imaging.io import read_image


def test_the_busiest_square_is_found():
    picture = np.full((80, 100, 3), 90, np.uint8)
    picture[50:70, 60:80] = np.random.default_rng(0).integers(0, 255, (20, 20, 3))
    top, left = busiest_square(picture, 24)
    assert 44 <= top <= 52
    assert 54 <= left <= 62


def test_panels_show_what_they_say(tmp_path):
    rng = np.random.default_rng(1)
    lq = rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)
    sr = np.full((80, 100, 3), (10, 200, 30), np.uint8)
    hr = np.full((81, 101, 3), (200, 10, 30), np.uint8)
    with_hr, without = comparison(lq, sr, hr), comparison(lq, sr)
    assert with_hr.shape[1] > without.shape[1]
    assert (without[-10, -10] == (10, 200, 30)).all()
    assert (with_hr[-10, -10] == (200, 10, 30)).all()
    save_comparison(lq, sr, tmp_path / "c.png", hr)
    assert np.array_equal(read_image(tmp_path / "c.png"), with_hr)


def test_scales_that_are_not_whole():
    lq = np.random.default_rng(2).integers(0, 255, (41, 50, 3), dtype=np.uint8)
    sr = np.full((103, 125, 3), (10, 200, 30), np.uint8)  # x2.5, rounded
    assert (comparison(lq, sr)[-10, -10] == (10, 200, 30)).all()


def test_sizes_that_do_not_belong_together():
    with pytest.raises(UserError, match="multiple of its input"):
        comparison(np.zeros((10, 10, 3), np.uint8), np.zeros((25, 20, 3), np.uint8))
