"""PSNR and SSIM against scikit-image and plain formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from superres.errors import UserError
from superres.evaluation.metrics import psnr, ssim
from superres.imaging.colour import rgb_to_y

# Beside small ones, sizes that end just before, at and after the edges of the inner tiles.
SIZES = [(11, 11), (12, 40), (67, 83), (138, 266), (139, 267), (140, 300)]


def skimage_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """The map's valid part: scikit-image filters beyond the border."""
    options = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "data_range": 255,
        "full": True,
    }
    if a.ndim == 3:
        options["channel_axis"] = 2
    _, full = structural_similarity(a.astype(float), b.astype(float), **options)
    return full[5:-5, 5:-5].mean()


@pytest.mark.parametrize("size", SIZES)
def test_equals_scikit_image(make_pair, size):
    sr, hr = make_pair(*size)
    assert psnr(sr, hr) == pytest.approx(peak_signal_noise_ratio(hr, sr), abs=1e-9)
    assert ssim(sr, hr) == pytest.approx(skimage_ssim(sr, hr), abs=1e-9)
    sr_y, hr_y = rgb_to_y(sr), rgb_to_y(hr)
    expected = peak_signal_noise_ratio(hr_y, sr_y, data_range=255)
    assert psnr(sr, hr, channel="y") == pytest.approx(expected, abs=1e-6)
    assert ssim(sr, hr, channel="y") == pytest.approx(skimage_ssim(sr_y, hr_y), abs=1e-8)


@pytest.mark.parametrize("channel", ["rgb", "y"])
@pytest.mark.parametrize("border", [0, 1, 4])
def test_border_is_shaved_before_anything(make_pair, channel, border):
    sr, hr = make_pair()
    inside = (slice(border, sr.shape[0] - border), slice(border, sr.shape[1] - border))
    for metric in (psnr, ssim):
        expected = metric(sr[inside], hr[inside], channel=channel)
        assert metric(sr, hr, channel=channel, border=border) == expected
        assert border == 0 or metric(sr, hr, channel=channel) != expected


def test_what_an_untrained_network_makes_is_scored_and_not_taken_for_another_range():
    hr = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert 0 < psnr(hr / 255 / 8, hr) < 10  # nearly black, uneven
    with pytest.raises(UserError, match="multiply it"):
        psnr(hr / 255, hr)


def test_black_against_white_does_not_overflow():
    black, white = (np.full((2100, 2100, 3), v, np.uint8) for v in (0, 255))  # beyond 2**32
    assert psnr(black, white) == 0


@pytest.mark.parametrize("level", [1, 128, 254])
def test_flat_pictures_with_noise_keep_their_digits(level):
    """Where variances are small differences of large numbers, at every brightness."""
    rng = np.random.default_rng(level)
    hr = np.full((160, 280, 3), level, np.uint8)
    sr = (hr + rng.integers(-1, 2, hr.shape)).astype(np.uint8)
    expected = skimage_ssim(rgb_to_y(sr), rgb_to_y(hr))
    assert ssim(sr, hr, channel="y") == pytest.approx(expected, abs=1e-8)


def test_depths_and_grey(make_pair):
    sr, hr = make_pair()
    assert (psnr(hr, hr), ssim(hr, hr, channel="y")) == (math.inf, 1)
    deep = [x.astype(np.uint16) * 257 for x in (sr, hr)]
    floats = [x.astype(np.float32) for x in (sr, hr)]
    unit = [x / 255 for x in (sr, hr)]
    for metric in (psnr, ssim):
        for channel in ("rgb", "y"):
            expected = metric(sr, hr, channel=channel)
            assert metric(*deep, channel=channel) == pytest.approx(expected, abs=1e-6)
            assert metric(*floats, channel=channel) == pytest.approx(expected, abs=1e-6)
        assert metric(*unit, data_range=1) == pytest.approx(metric(sr, hr), abs=1e-9)
        grey = [x[..., 1] for x in (sr, hr)]
        threefold = [np.repeat(x[..., None], 3, 2) for x in grey]
        assert metric(*grey, channel="y") == metric(*threefold, channel="y")
        assert metric(*(x[..., None] for x in grey)) == pytest.approx(metric(*threefold), abs=1e-9)


IMAGE = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
FLOAT = IMAGE.astype(np.float32)
HOLED = FLOAT.copy()
HOLED[3, 7, 1] = np.nan


@pytest.mark.parametrize(
    ("sr", "hr", "options", "message"),
    [
        (IMAGE[:18], IMAGE, {}, "expected 24x20.*found 24x18"),
        (IMAGE[..., 0], IMAGE, {}, "expected 24x20 RGB.*found 24x20 grey"),
        (IMAGE, IMAGE.astype(np.uint16), {}, "SR has samples of uint8 and HR of uint16"),
        (FLOAT / 255, IMAGE, {}, r"SR is float with values in \[0, 1\], and \[0, 255\] is exp"),
        (IMAGE, FLOAT * 257, {}, r"HR is float with values in .* \[0, 255\] is expected"),
        (HOLED, IMAGE, {}, "SR has 1 NaN or infinite samples, the first in row 3, column 7"),
        (IMAGE, IMAGE, {"border": 10}, "4x0 after shaving 10 px"),
        (IMAGE[:10], IMAGE[:10], {"border": 5}, "14x0 after shaving 5 px"),
        (IMAGE.astype(np.int64), IMAGE, {}, "float, found .* of int64"),
    ],
)
def test_bad_input(sr, hr, options, message):
    for metric in (psnr, ssim):
        with pytest.raises(UserError, match=message):
            metric(sr, hr, **options)
