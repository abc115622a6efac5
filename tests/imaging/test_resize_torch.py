"""The torch function gives the numpy function's numbers."""

from __future__ import annotations

import numpy as np
import pytest

from superres.errors import UserError
from superres.imaging.resize import imresize
from superres.imaging.resize_torch import imresize_tensor

torch = pytest.importorskip("torch")

CASES = [
    {"scale": 1 / 2},
    {"scale": 1 / 3, "border": "replicate"},
    {"scale": 1 / 4},
    {"scale": 1 / 8},
    {"scale": 0.37, "method": "lanczos3"},
    {"scale": 3},
    {"scale": (2, 0.3), "method": "bilinear"},
    {"size": (21, 60), "antialias": False},
    {"size": (34, 45), "method": "box"},
    {"scale": 1},
]


def batch() -> np.ndarray:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 37, 52, 3), dtype=np.uint8)
    images[:, :12] = rng.integers(10, 13, (2, 12, 52, 3))  # many ties
    return images


def nchw(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def nhwc(x: torch.Tensor) -> np.ndarray:
    return x.permute(0, 2, 3, 1).cpu().numpy()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_uint8_is_equal(case):
    images = batch()
    result = imresize_tensor(nchw(images), **case)
    assert result.dtype == torch.uint8
    expected = np.stack([imresize(image, **case) for image in images])
    np.testing.assert_array_equal(nhwc(result), expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float_is_the_float_path(case):
    images = batch() / 255
    expected = np.stack([imresize(image, **case) for image in images])
    double = imresize_tensor(nchw(images), **case)
    single = imresize_tensor(nchw(images).float(), **case)
    half = imresize_tensor(nchw(images).half(), **case)
    assert (double.dtype, single.dtype, half.dtype) == (
        torch.float64,
        torch.float32,
        torch.float16,
    )
    np.testing.assert_allclose(nhwc(double), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(nhwc(single), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(nhwc(half), expected, rtol=0, atol=2e-3)


def test_uint8_without_rounding():
    images = batch()
    result = imresize_tensor(nchw(images), scale=0.5, rounding="float")
    expected = np.stack([imresize(image, 0.5, rounding="float") for image in images])
    assert result.dtype == torch.float64
    np.testing.assert_allclose(nhwc(result), expected, rtol=0, atol=1e-10)


def test_gradient_reaches_the_input():
    x = torch.rand(1, 1, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: imresize_tensor(t, scale=0.5), (x,))
    assert torch.autograd.gradcheck(lambda t: imresize_tensor(t, scale=1.7), (x,))


def test_the_result_is_a_new_tensor():
    x = nchw(batch())
    assert imresize_tensor(x, scale=1).data_ptr() != x.data_ptr()


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gpu_is_equal(case):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    x = nchw(batch())
    assert torch.equal(imresize_tensor(x.cuda(), **case).cpu(), imresize_tensor(x, **case))
    y = x / 255
    on_gpu = imresize_tensor(y.cuda(), **case).cpu()
    torch.testing.assert_close(on_gpu, imresize_tensor(y, **case), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "arguments", "message"),
    [
        (torch.zeros(3, 4, 4), {"scale": 2}, "N, C, H, W"),
        (torch.zeros(1, 3, 0, 4), {"scale": 2}, "non-empty"),
        (np.zeros((1, 3, 4, 4)), {"scale": 2}, "ndarray"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int32), {"scale": 2}, "int32"),
        (torch.zeros(1, 3, 4, 4), {"scale": 0}, "positive"),
        (torch.zeros(1, 3, 4, 4), {"scale": 2, "method": "area"}, "area"),
    ],
)
def test_bad_input_is_one_message(x, arguments, message):
    with pytest.raises(UserError, match=message):
        imresize_tensor(x, **arguments)
