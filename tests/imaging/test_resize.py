"""imresize against numbers that MATLAB gave, a slow implementation, and other libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superres.errors import UserError
from superres.imaging.kernels import plan_pass
from superres.imaging.resize import imresize, modcrop

RAMP4 = np.arange(16.0).reshape(4, 4)
RAMP8 = np.arange(64.0).reshape(8, 8)
CORNERS = np.array([[100, 1, 0, 100], [10, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0.0]])

# (input, output size, antialias, what MATLAB answers)
MATLAB = {
    "4x4 to 3x3": (RAMP4, (3, 3), True, [
        [0.7505518763796901, 2.1004415011037523, 3.4503311258278133],
        [6.150110375275939, 7.500000000000001, 8.849889624724064],
        [11.549668874172186, 12.89955849889625, 14.24944812362031],
    ]),
    "4x4 to 3x3, not antialiased": (RAMP4, (3, 3), False, [
        [0.5439814814814781, 1.9351851851851825, 3.3263888888888866],
        [6.108796296296295, 7.5, 8.891203703703704],
        [11.67361111111111, 13.064814814814817, 14.456018518518519],
    ]),
    "8x8 to 2x2": (RAMP8, (2, 2), True, [
        [12.3837890625, 16.6318359375], [46.3681640625, 50.6162109375],
    ]),
    "8x8 to 3x4": (RAMP8, (3, 4), True, [
        [6.472528773310022, 8.511591273310021, 10.535028773310023, 12.57409127331002],
        [28.44921875, 30.48828125, 32.51171875, 34.55078125],
        [50.42590872668998, 52.46497122668998, 54.48840872668998, 56.52747122668998],
    ]),
    "8x8 to 3x4, not antialiased": (RAMP8, (3, 4), False, [
        [7.011574074074076, 9.074074074074076, 11.074074074074076, 13.136574074074076],
        [28.4375, 30.5, 32.5, 34.5625],
        [49.863425925925924, 51.92592592592592, 53.925925925925924, 55.988425925925924],
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


def slow_kernel(method: str, x: float) -> float:
    """The kernels once more, for one number at a time."""
    x = abs(x)
    if method == "bicubic":
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0
    if method in ("bilinear", "triangle"):
        return max(0.0, 1 - x)
    lobes = {"lanczos2": 2, "lanczos3": 3}[method]
    return float(np.sinc(x) * np.sinc(x / lobes)) if x < lobes else 0.0


def slow_pass(image, out_length, scale, method, antialias, border, integer):
    """One pass along axis 0, sample by sample, on a padded picture; also: is a tie unclear?"""
    length = image.shape[0]
    stretch = min(scale, 1.0) if antialias else 1.0
    reach = math.ceil(3 / stretch) + 3
    pad = [(reach, reach)] + [(0, 0)] * (image.ndim - 1)
    wide = np.pad(image.astype(float), pad, "symmetric" if border == "reflect" else "edge")
    out = np.empty((out_length, *image.shape[1:]))
    for i in range(out_length):
        centre = (i + 0.5) / scale - 0.5
        taps = range(math.floor(centre) - reach + 1, math.ceil(centre) + reach)
        weights = {k: slow_kernel(method, stretch * (centre - k)) for k in taps}
        norm = sum(weights.values())
        # a position outside of the pad has no weight
        inside = [k for k in taps if -reach <= k < length + reach]
        out[i] = sum(weights[k] / norm * wide[k + reach] for k in inside)
    distance = np.abs(out - np.floor(out) - 0.5)
    unclear = bool(((distance > 0) & (distance < 1e-9)).any())
    if integer:
        peak = np.iinfo(image.dtype).max
        return np.clip(np.floor(out + 0.5), 0, peak).astype(image.dtype), unclear
    return out, False


def slow_imresize(image, scales, method, antialias, border):
    integer = image.dtype.kind == "u"
    unclear = False
    for axis in (0, 1) if scales[0] <= scales[1] else (1, 0):
        length = math.ceil(image.shape[axis] * scales[axis])
        turned, flag = slow_pass(
            np.swapaxes(image, 0, axis), length, scales[axis], method, antialias, border, integer
        )
        image, unclear = np.swapaxes(turned, 0, axis), unclear or flag
    return image, unclear


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    channels=st.sampled_from([None, 1, 3, 5]),
    scales=st.tuples(*[st.sampled_from([0.125, 0.25, 1 / 3, 0.37, 0.5, 0.8, 1, 1.5, 2, 3])] * 2),
    method=st.sampled_from(["bicubic", "bilinear", "lanczos2", "lanczos3"]),
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


def test_8_bit_quarters_need_no_second_look():
    """The fast way is taken where it is proven exact, and the proof is not claimed for thirds."""
    quarter = plan_pass(400, 100, 0.25, "bicubic", True, "reflect", 255)
    third = plan_pass(400, 134, 1 / 3, "bicubic", True, "reflect", 255)
    assert quarter.blocks[0][4].dtype == third.blocks[0][4].dtype == np.float32
    assert quarter.margin == 0
    assert 1e-5 < third.margin < 1e-2


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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_scale_one_is_a_copy(dtype):
    image = (np.random.default_rng(0).random((5, 7, 3)) * 200).astype(dtype)
    for result in (imresize(image, 1), imresize(image, size=(5, 7))):
        np.testing.assert_array_equal(result, image)
        assert result.dtype == dtype
        assert not np.shares_memory(result, image)


def test_odd_sizes_and_scale_against_size():
    image = np.random.default_rng(0).integers(0, 256, (25, 38, 3), dtype=np.uint8)
    assert imresize(image, 1 / 4).shape == (7, 10, 3)
    assert imresize(image, 1 / 3).shape == (9, 13, 3)
    whole = modcrop(image, 4)
    np.testing.assert_array_equal(imresize(whole, 1 / 4), imresize(whole, size=(6, 9)))
    # where the sizes do not divide, the scale of each axis is another one
    assert (imresize(image, 1 / 4) != imresize(image, size=(7, 10))).any()


def test_views_and_read_only_pictures():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    expected = imresize(np.ascontiguousarray(image[::-1, 3:33:2]), 0.5)
    image.flags.writeable = False
    np.testing.assert_array_equal(imresize(image[::-1, 3:33:2], 0.5), expected)


def test_float_input_stays_float():
    image = np.random.default_rng(0).random((20, 30, 3))
    double = imresize(image, 0.5)
    single = imresize(image.astype(np.float32), 0.5)
    assert (double.dtype, single.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-6)
    eight = np.rint(image * 255).astype(np.uint8)
    free = imresize(eight, 0.5, rounding="float")
    np.testing.assert_allclose(free, imresize(eight.astype(float), 0.5), rtol=0, atol=0)


@pytest.mark.parametrize("scale", [0.001, 0.01, 37.3])
def test_extreme_scales(scale):
    image = np.full((9, 11, 3), 77, np.uint8)
    result = imresize(image, scale)
    assert result.shape == (math.ceil(9 * scale), math.ceil(11 * scale), 3)
    assert (result == 77).all()


def test_box_is_the_block_mean():
    from skimage.transform import downscale_local_mean

    image = np.random.default_rng(0).random((30, 42))
    ours = imresize(image, 1 / 3, method="box")
    np.testing.assert_allclose(ours, downscale_local_mean(image, (3, 3)), rtol=0, atol=1e-12)


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
        (GOOD, {"scale": math.inf}, "positive"),
        (GOOD, {"scale": "half"}, "numbers"),
        (GOOD, {}, "exactly one"),
        (GOOD, {"scale": 2, "size": (4, 4)}, "exactly one"),
        (GOOD, {"size": (4, 2.5)}, "whole"),
        (GOOD, {"scale": 2, "method": "cubic"}, "bicubic"),
        (GOOD, {"scale": 2, "border": "wrap"}, "replicate"),
        (GOOD, {"scale": 2, "rounding": "none"}, "uint8_each_pass"),
        (GOOD[:0], {"scale": 2}, "empty"),
        (GOOD[None], {"scale": 2}, "empty"),
        (GOOD.astype(np.int64), {"scale": 2}, "int64"),
        (GOOD.tolist(), {"scale": 2}, "list"),
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
