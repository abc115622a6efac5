"""Degradations against scipy, scikit-image, Pillow, known kernels and the statistics of noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.special

from superres.errors import UserError
from superres.imaging import degrade
from superres.imaging.resize import imresize


def picture(height=48, width=60, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth_picture(height=64, width=80) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    planes = [60 + x, 200 - 2 * y, 100 + 60 * np.sin(x / 9 + y / 7)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def test_anisotropic_kernel_has_the_asked_covariance():
    sigma_x, sigma_y, angle = 3.0, 1.5, 0.6
    kernel = degrade.gaussian_kernel(41, sigma_x, sigma_y, angle)
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    y, x = np.mgrid[-20:21, -20:21]
    covariance = [[(kernel * a * b).sum() for a in (x, y)] for b in (x, y)]
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    expected = turn @ np.diag([sigma_x**2, sigma_y**2]) @ turn.T
    np.testing.assert_allclose(covariance, expected, atol=1e-3)


@pytest.mark.parametrize("cutoff", [math.pi / 5, 1.7, math.pi])
@pytest.mark.parametrize("size", [7, 21])
def test_sinc_kernel_is_the_bessel_formula(size, cutoff):
    y, x = np.mgrid[-(size // 2) : size // 2 + 1, -(size // 2) : size // 2 + 1]
    radius = np.hypot(x, y)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = cutoff * scipy.special.j1(cutoff * radius) / (2 * math.pi * radius)
    expected[size // 2, size // 2] = cutoff**2 / (4 * math.pi)
    np.testing.assert_allclose(
        degrade.sinc_kernel(size, cutoff), expected / expected.sum(), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(("border", "mode"), [("reflect", "reflect"), ("replicate", "nearest")])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (14, 30, 1)])
@pytest.mark.parametrize("size", [3, 21])
def test_blur_equals_scipy(border, mode, shape, size):
    rng = np.random.default_rng(0)
    image = rng.random(shape) * 255
    kernel = rng.random((size, size))  # not symmetric: correlation, not convolution
    kernel /= kernel.sum()
    planes = image.reshape(*shape[:2], -1)
    expected = np.stack(
        [
            scipy.ndimage.correlate(planes[..., c], kernel, mode=mode)
            for c in range(planes.shape[2])
        ],
        axis=-1,
    ).reshape(shape)
    np.testing.assert_allclose(degrade.blur(image, kernel, border), expected, rtol=0, atol=1e-9)
    levels = np.rint(image).astype(np.uint8)
    free = degrade.blur(levels.astype(float), kernel, border)
    rounded = degrade.blur(levels, kernel, border)
    np.testing.assert_array_equal(rounded, np.clip(np.floor(free + 0.5), 0, 255))
    assert rounded.dtype == np.uint8


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_blur_down_is_blur_then_nearest(scale):
    image = picture()
    blurred = scipy.ndimage.gaussian_filter(
        image.astype(float), 1.6, radius=3, mode="nearest", axes=(0, 1)
    )
    nearest = imresize(blurred, 1 / scale, method="nearest")
    expected = np.clip(np.floor(nearest + 0.5), 0, 255)
    result = degrade.blur_down(image, scale)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)


def test_gaussian_noise():
    image = np.full((200, 200, 3), 100.0)
    noise = degrade.gaussian_noise(image, 10, np.random.default_rng(0)) - image
    assert noise.std() == pytest.approx(10, abs=0.1)
    for one, other in ((noise[..., 0], noise[..., 1]), (noise[:, 1:], noise[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02
    gray = degrade.gaussian_noise(image, 10, np.random.default_rng(0), gray=True) - image
    np.testing.assert_allclose(gray[..., 0], gray[..., 2], atol=1e-12)


def test_poisson_noise_grows_with_brightness():
    levels = np.repeat(np.array([0, 16, 64, 144, 255.0]), 40_000)
    image = levels.reshape(1000, 200)
    noise = degrade.poisson_noise(image, 1.0, np.random.default_rng(1)) - image
    photons = 8  # five distinct levels
    for level, part in zip([0, 16, 64, 144, 255], noise.reshape(5, -1)):
        expected = 255 * math.sqrt(level / 255 / photons)
        assert part.std() == pytest.approx(expected, rel=0.03, abs=1e-9)
        assert abs(part.mean()) < 0.02 * 255
    weaker = degrade.poisson_noise(image, 0.25, np.random.default_rng(1)) - image
    np.testing.assert_allclose(weaker, noise / 4, atol=1e-9)


@pytest.mark.parametrize("function", [degrade.gaussian_noise, degrade.poisson_noise])
def test_noise_comes_from_the_generator_alone(function):
    image = smooth_picture()
    first = function(image, 1.5, np.random.default_rng(7))
    np.testing.assert_array_equal(first, function(image, 1.5, np.random.default_rng(7)))
    assert (first != function(image, 1.5, np.random.default_rng(8))).any()
    assert first.dtype == np.uint8


@pytest.mark.parametrize("shape", [np.s_[:], np.s_[:33, :47], np.s_[..., 0], np.s_[..., :1]])
def test_jpeg(shape):
    """Finer at a higher quality and with whole chroma, and no channels exchanged."""
    image = smooth_picture()[shape]
    results = [degrade.jpeg(image, *how) for how in ((10,), (95,), (95, "4:4:4"))]
    assert {(r.shape, r.dtype) for r in results} == {(image.shape, np.dtype(np.uint8))}
    errors = [np.abs(result.astype(int) - image).mean() for result in results]
    assert errors[0] > errors[1] >= errors[2]
    assert errors[1] < 2


GOOD = picture(12, 12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: degrade.blur_down(GOOD, 3, kernel_size=6), "odd"),
        (lambda: degrade.gaussian_kernel(7, 0, 1), "sigma"),
        (lambda: degrade.blur(GOOD, np.ones((3, 3)), "wrap"), "border"),
        (lambda: degrade.blur(GOOD.astype(np.uint16), np.ones((3, 3))), "uint16"),
        (lambda: degrade.jpeg(GOOD.astype(float), 50), "uint8"),
    ],
)
def test_bad_input_is_one_message(call, message):
    with pytest.raises(UserError, match=message):
        call()
