"""Colour conversions against scikit-image's and the published coefficients."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2ycbcr

from superres.errors import UserError
from superres.imaging.colour import LUMA_WEIGHTS, rgb_to_y


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (23, 31, 3), dtype=np.uint8)


def test_luma_equals_scikit_image_in_every_depth(picture):
    expected = rgb2ycbcr(picture)[..., 0]
    for kind, factor in ((np.uint8, 1), (np.float32, 1), (np.uint16, 257)):
        y = rgb_to_y(picture.astype(kind) * kind(factor)) / factor
        assert np.abs(y - expected).max() < 1e-9
    assert np.array_equal(rgb_to_y(picture, rounded=True), np.floor(expected + 0.5))


def test_super_image_has_its_own_red():
    red = np.full((1, 1, 3), (255, 0, 0), np.uint8)
    assert rgb_to_y(red, "super-image")[0, 0] == pytest.approx(16 + 64.738 * 255 / 256)
    assert sum(LUMA_WEIGHTS["bt601"]) == pytest.approx(219 / 255)


def test_bad_input(picture):
    with pytest.raises(UserError, match=r"RGB image.*\(23, 31\)"):
        rgb_to_y(picture[..., 0])
