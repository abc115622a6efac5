"""Colour conversions against scikit-image's and the published coefficients."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2ycbcr

from superres.errors import UserError
from superres.imaging.colour import luma_weights, rgb_to_y, rgb_to_ycbcr, ycbcr_to_rgb


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (23, 31, 3), dtype=np.uint8)


def test_ycbcr_equals_scikit_image(picture):
    expected = rgb2ycbcr(picture)
    assert np.abs(rgb_to_ycbcr(picture) - expected).max() < 1e-9
    assert np.abs(rgb_to_y(picture) - expected[..., 0]).max() < 1e-9
    assert np.array_equal(rgb_to_y(picture, rounded=True), np.floor(expected[..., 0] + 0.5))


def test_float_and_16_bit_pictures_are_the_same_colours(picture):
    y = rgb_to_y(picture)
    assert np.abs(rgb_to_y(picture.astype(np.float32)) - y).max() < 1e-9
    deep = picture.astype(np.uint16) * 257
    assert np.abs(rgb_to_y(deep) / 257 - y).max() < 1e-9
    assert np.abs(rgb_to_ycbcr(deep) / 257 - rgb_to_ycbcr(picture)).max() < 1e-9


def test_back_to_rgb(picture):
    assert np.abs(ycbcr_to_rgb(rgb_to_ycbcr(picture)) - picture).max() < 1e-9
    deep = picture.astype(np.uint16) * 257
    assert np.abs(ycbcr_to_rgb(rgb_to_ycbcr(deep), 65535) - deep).max() < 1e-6


def test_super_image_has_its_own_red():
    red = np.full((1, 1, 3), (255, 0, 0), np.uint8)
    assert rgb_to_y(red, "super-image")[0, 0] == pytest.approx(16 + 64.738 * 255 / 256)
    assert luma_weights("bt601").sum() == pytest.approx(219 / 255)


def test_bad_input(picture):
    with pytest.raises(UserError, match=r"RGB picture.*\(23, 31\)"):
        rgb_to_y(picture[..., 0])
    with pytest.raises(UserError, match="unknown luma weights 'bt709'; known are bt601"):
        rgb_to_y(picture, "bt709")
