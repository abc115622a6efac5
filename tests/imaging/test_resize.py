"""imresize against numbers that MATLAB gave, a slow implementation, and other libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superres.errors import UserError
from superres.imaging.resize import imresize, modcrop

RAMP8 = np.arange(64.0).reshape(8, 8)
CORNERS = np.array([[100, 1, 0, 100], [10, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0.0]])

# (input, output size, antialias, what MATLAB answers)
MATLAB = {
    "8x8 to 3x4": (RAMP8, (3, 4), True, [
        [6.472528773310022, 8.511591273310021, 10.535028773310023, 12.57409127331002],
        [28.44921875, 30.48828125, 32.51171875, 34.55078125],
        [50.42590872668998, 52.46497122668998, 54.48840872668998, 56.52747122668998],
    ]),
    "corners 4x4 to 5x5": (CORNERS, (5, 5), False, [
        [108.68522499999966, 27.6970974999999, -12.44656249999998, 26.88419250000005,
         109.20249999999992],
        [35.4713649999999, 8.970788999999971, -3.589562499999994, 6.637437000000011,
         26.96099999999997],
        [-0.6503124999999991, -0.2122187499999997, 0.39453125, -1.6079062500000063,
         -6.531250000000005],
        [-0.7680749999999994, -0.18962999999999977, 0.04593750000000004, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0],
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", MATLAB)
def test_equals_matlab_on_small_pictures(name):
    image, size, antialias, expected = MATLAB[name]
    result = imresize(image, size=size, antialias=antialias)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12 * np.ptp(image))


SLOW_KERNELS = {  # once more, of distances
    "bicubic": lambda x: np.where(
        x <= 1, 1.5 * x**3 - 2.5 * x**2 + 1, (-0.5 * x**3 + 2.5 * x**2 - 4 * x + 2) * (x < 2)
    ),
    "bilinear": lambda x: np.maximum(1 - x, 0),
    "lanczos3": lambda x: np.sinc(x) * np.sinc(x / 3) * (x < 3),
}


def slow_imresize(image, scales, method, antialias, border):
    """By whole matrices on a padded image; also: is a tie unclear?"""
    unclear = False
    for axis in (0, 1) if scales[0] <= scales[1] else (1, 0):
        scale, count = scales[axis], image.shape[axis]
        stretch = min(scale, 1.0) if antialias else 1.0
        reach = math.ceil(3 / stretch) + 3
        centre = (np.arange(math.ceil(count * scale)) + 0.5) / scale - 0.5
        distance = np.abs(centre[:, None] - np.arange(-reach, count + reach))
        weights = SLOW_KERNELS[method](stretch * distance)
        weights /= weights.sum(axis=1, keepdims=True)
        pad = [(reach * (n == axis),) * 2 for n in range(image.ndim)]
        wide = np.pad(image.astype(float), pad, "symmetric" if border == "reflect" else "edge")
        out = np.moveaxis(np.tensordot(weights, wide, (1, axis)), 0, axis)
        if image.dtype.kind == "u":
            off = np.abs(out - np.floor(out) - 0.5)
            exact = method != "lanczos3" and math.log2(scale).is_integer()
            unclear |= bool((off[off > 0] if exact else off).min(initial=1) < 1e-9)
            out = np.clip(np.floor(out + 0.5), 0, np.iinfo(image.dtype).max).astype(image.dtype)
        image = out
    return image, unclear


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    channels=st.sampled_from([None, 1, 3, 5]),
    scales=st.tuples(*[st.sampled_from([0.125, 0.25, 1 / 3, 0.37, 0.5, 0.8, 1, 1.5, 2, 3])] * 2),
    method=st.sampled_from(["bicubic", "bilinear", "lanczos3"]),
    antialias=st.booleans(),
    border=st.sampled_from(["reflect", "replicate"]),
    dtype=st.sampled_from(["uint8", "uint16", "float64"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_a_slow_implementation(
    height, width, channels, scales, method, antialias, border, dtype, seed
):
    rng = np.random.default_rng(seed)
    shape = (height, width) if channels is None else (height, width, channels)
    if dtype == "float64":
        image = rng.normal(size=shape)
    else:
        # few levels: many exact ties
        image = rng.choice([0, 1, 2, 7, np.iinfo(dtype).max], shape).astype(dtype)
    # The tie of a kernel's float noise may fall either way; only exact ones are comparable.
    expected, unclear = slow_imresize(image, scales, method, antialias, border)
    result = imresize(image, scales, method=method, antialias=antialias, border=border)
    assert result.shape == expected.shape
    assert result.dtype == image.dtype
    if dtype == "float64":
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)
    elif not unclear:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 1 / 8, 0.41, 2, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_fast_sums_change_no_sample(scale, dtype):
    """Whole passes in float64, tap by tap, as MATLAB sums: not one sample may differ."""
    rng = np.random.default_rng(3)
    image = rng.integers(0, np.iinfo(dtype).max + 1, (203, 149, 3)).astype(dtype)
    image[:60] = rng.integers(100, 104, (60, 149, 3))  # a flat part has many ties

    def in_order(picture):
        from superres.imaging.kernels import contributions

        length = math.ceil(picture.shape[0] * scale)
        table = contributions(picture.shape[0], length, scale, "bicubic", True, "reflect")
        total = np.zeros((length, *picture.shape[1:]))
        for weight, index in zip(table.weights.T, table.indices.T):
            total += weight[:, None, None] * picture[index]
        return np.clip(np.floor(total + 0.5), 0, np.iinfo(dtype).max).astype(dtype)

    expected = in_order(in_order(image).swapaxes(0, 1)).swapaxes(0, 1)
    np.testing.assert_array_equal(imresize(image, scale), expected)


def test_ties_are_rounded_up():
    # Halves of 1 and 2 under the box filter: 1.5 becomes 2, in both passes.
    image = np.array([[1, 2], [2, 1]], np.uint8)
    assert imresize(image, 0.5, method="box").item() == 2
    # 16-bit likewise, and the clamp holds at both ends
    assert imresize(image.astype(np.uint16) + 65533, 0.5, method="box").item() == 65535
    edge = np.repeat(np.array([[0, 0, 255, 255]], np.uint8), 4, axis=0)
    up = imresize(edge, 2)
    free = imresize(edge, 2, rounding="float")
    assert free.min() < -1
    assert free.max() > 256
    assert up.min() == 0
    assert up.max() == 255


def test_odd_sizes_and_scale_against_size():
    image = np.random.default_rng(0).integers(0, 256, (25, 38, 3), dtype=np.uint8)
    assert imresize(image, 1 / 4).shape == (7, 10, 3)
    assert imresize(image, 0.001).shape == (1, 1, 3)
    # where the sizes do not divide, the scale of each axis is another one
    assert (imresize(image, 1 / 4) != imresize(image, size=(7, 10))).any()


def test_float_input_stays_float():
    image = np.random.default_rng(0).random((20, 30, 3))
    double = imresize(image, 0.5)
    single = imresize(image.astype(np.float32), 0.5)
    assert (double.dtype, single.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-6)
    eight = np.rint(image * 255).astype(np.uint8)
    free = imresize(eight, 0.5, rounding="float")
    np.testing.assert_allclose(free, imresize(eight.astype(float), 0.5), rtol=0, atol=0)


def test_nearest_takes_samples():
    image = np.random.default_rng(0).integers(0, 256, (12, 12), dtype=np.uint8)
    for step in (2, 3, 4):
        taken = image[step // 2 :: step, step // 2 :: step]
        np.testing.assert_array_equal(imresize(image, 1 / step, method="nearest"), taken)
    doubled = image.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(imresize(image, 2, method="nearest"), doubled)


GOOD = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "arguments", "message"),
    [
        (GOOD, {"scale": 0}, "positive"),
        (GOOD, {}, "exactly one"),
        (GOOD, {"size": (4, 2.5)}, "whole"),
        (GOOD, {"scale": 2, "method": "cubic"}, "bicubic"),
        (GOOD, {"scale": 2, "rounding": "none"}, "uint8_each_pass"),
        (GOOD[:0], {"scale": 2}, "empty"),
        (GOOD.astype(np.int64), {"scale": 2}, "int64"),
        (np.array([[0.0, np.inf]]), {"scale": 2}, "NaN or inf"),
    ],
)
def test_bad_input_is_one_message(image, arguments, message):
    with pytest.raises(UserError, match=message):
        imresize(image, **arguments)


def test_modcrop():
    image = np.arange(35).reshape(5, 7)
    np.testing.assert_array_equal(modcrop(image, 3), image[:3, :6])
    np.testing.assert_array_equal(modcrop(image, 1), image)
    for bad in (0, -2, 1.5, True, 6):
        with pytest.raises(UserError, match="modcrop"):
            modcrop(image, bad)
