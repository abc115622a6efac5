"""Degradations against scipy, scikit-image, Pillow, known kernels and the statistics of noise."""

from __future__ import annotations

import io
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


def test_gaussian_kernel_is_matlabs_fspecial():
    # fspecial('gaussian', 3, 0.5), four digits as MATLAB prints them
    corner, side, centre = 0.0113, 0.0838, 0.6193
    expected = [[corner, side, corner], [side, centre, side], [corner, side, corner]]
    np.testing.assert_allclose(degrade.gaussian_kernel(3, 0.5), expected, atol=5e-5)


def test_anisotropic_kernel_has_the_asked_covariance():
    sigma_x, sigma_y, angle = 3.0, 1.5, 0.6
    kernel = degrade.anisotropic_gaussian_kernel(41, sigma_x, sigma_y, angle)
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
@pytest.mark.parametrize("size", [3, 7, 21])
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
    single = degrade.blur(image.astype(np.float32), kernel, border)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-4)
    levels = np.rint(image).astype(np.uint8)
    free = degrade.blur(levels.astype(float), kernel, border)
    rounded = degrade.blur(levels, kernel, border)
    np.testing.assert_array_equal(rounded, np.clip(np.floor(free + 0.5), 0, 255))
    assert rounded.dtype == np.uint8


def test_blur_of_a_picture_smaller_than_the_kernel():
    """The mirror is mirrored again. (scipy's correlate is wrong where that happens.)"""
    rng = np.random.default_rng(0)
    image, kernel = rng.random((3, 2)), rng.random((21, 21))
    reach = np.arange(-10, 11)

    def mirrored(at, length):
        at = (at + reach) % (2 * length)
        return np.minimum(at, 2 * length - 1 - at)

    expected = [
        [(kernel * image[np.ix_(mirrored(y, 3), mirrored(x, 2))]).sum() for x in range(2)]
        for y in range(3)
    ]
    np.testing.assert_allclose(degrade.blur(image, kernel), expected, rtol=0, atol=1e-11)


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
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[:, 1:, 0].ravel(), noise[:, :-1, 0].ravel())[0, 1]) < 0.02
    gray = degrade.gaussian_noise(image, 10, np.random.default_rng(0), gray=True) - image
    np.testing.assert_allclose(gray[..., 0], gray[..., 2], atol=1e-12)
    assert gray.std() == pytest.approx(10, abs=0.15)
    np.testing.assert_array_equal(
        degrade.gaussian_noise(picture(), 0, np.random.default_rng(0)), picture()
    )


def test_poisson_noise_grows_with_brightness():
    rng = np.random.default_rng(0)
    levels = np.repeat(np.array([0, 16, 64, 144, 255.0]), 40_000).reshape(5, 200, 200)
    image = levels.reshape(1000, 200)
    noise = degrade.poisson_noise(image, 1.0, rng) - image
    photons = 8  # five distinct levels
    for level, part in zip([0, 16, 64, 144, 255], noise.reshape(5, -1)):
        expected = 255 * math.sqrt(level / 255 / photons)
        assert part.std() == pytest.approx(expected, rel=0.03, abs=1e-9)
        assert abs(part.mean()) < 0.02 * 255
    weaker = degrade.poisson_noise(image, 0.25, np.random.default_rng(1)) - image
    full = degrade.poisson_noise(image, 1.0, np.random.default_rng(1)) - image
    np.testing.assert_allclose(weaker, full / 4, atol=1e-9)


@pytest.mark.parametrize("function", [degrade.gaussian_noise, degrade.poisson_noise])
def test_noise_comes_from_the_generator_alone(function):
    image = smooth_picture()
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the point is that nobody uses it
    first = function(image, 1.5, np.random.default_rng(7))
    np.testing.assert_array_equal(first, function(image, 1.5, np.random.default_rng(7)))
    assert (first != function(image, 1.5, np.random.default_rng(8))).any()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(image, smooth_picture())


@pytest.mark.parametrize("quality", [10, 50, 95])
@pytest.mark.parametrize("shape", ["colour", "odd", "grey", "plane"])
def test_jpeg_equals_pillow(quality, shape):
    """The same library underneath, so nearly the same samples; red stays red."""
    from PIL import Image

    image = smooth_picture()
    if shape == "odd":
        image = image[:33, :47]
    elif shape in ("grey", "plane"):
        image = image[..., 0]
    if shape == "plane":
        result = degrade.jpeg(image[..., None], quality)
        assert result.shape == (*image.shape, 1)
        result = result[..., 0]
    else:
        result = degrade.jpeg(image, quality)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality, subsampling=2)
    theirs = np.asarray(Image.open(stream))
    assert result.shape == image.shape
    assert result.dtype == np.uint8
    assert np.abs(result.astype(int) - theirs).mean() < 0.6
    # and not the picture with its colours exchanged
    if image.ndim == 3:
        assert np.abs(result.astype(int) - theirs[..., ::-1]).mean() > 20


GOOD = picture(12, 12)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: degrade.bicubic_down(GOOD, 0.5), "at least 1"),
        (lambda: degrade.bicubic_down(GOOD[:0], 2), "expected an image"),
        (lambda: degrade.bicubic_down(GOOD.astype(np.uint16), 2), "uint16"),
        (lambda: degrade.blur_down(GOOD, 2.5), "whole"),
        (lambda: degrade.blur_down(GOOD[:1], 3), "too small"),
        (lambda: degrade.blur_down(GOOD, 3, kernel_size=6), "odd"),
        (lambda: degrade.gaussian_kernel(7, 0), "sigma"),
        (lambda: degrade.sinc_kernel(7, 4), "cutoff"),
        (lambda: degrade.blur(GOOD, np.ones((2, 3))), "odd sides"),
        (lambda: degrade.poisson_noise(GOOD, math.nan, RNG), "negative"),
        (lambda: degrade.jpeg(GOOD.astype(float), 50), "uint8"),
        (lambda: degrade.jpeg(GOOD, 0), "quality"),
        (lambda: degrade.jpeg(np.zeros((4, 4, 4), np.uint8), 50), "channels"),
        (lambda: degrade.blur([[1]], np.ones((1, 1))), "list"),
    ],
)
def test_bad_input_is_one_message(call, message):
    with pytest.raises(UserError, match=message):
        call()
