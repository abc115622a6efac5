"""imresize against MATLAB's own images of the published benchmark sets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from superres.imaging.degrade import blur_down
from superres.imaging.resize import imresize, modcrop

pytestmark = pytest.mark.reference


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    ("name", "border", "count"), [("Set5", "reflect", 5), ("Set14", "replicate", 14)]
)
def test_every_sample_of_the_benchmark_sets(reference_dir, name, border, count, scale):
    root = reference_dir / "data" / "benchmark" / name
    files = sorted((root / "HR").glob("*.png"))
    assert len(files) == count
    for path in files:
        expected = read(root / f"LR_bicubic/X{scale}/{path.stem}x{scale}.png")
        result = imresize(modcrop(read(path), scale), 1 / scale, border=border)
        assert result.shape == expected.shape, path.name
        assert np.count_nonzero(result != expected) == 0, path.name
        assert result.ndim == (2 if path.stem == "bridge" else 3)


RAMPS = {
    "small": np.arange(16.0).reshape(4, 4),
    "down": np.arange(64.0).reshape(8, 8),
    "large": np.arange(225.0).reshape(15, 15),
    "topleft": np.array([[100, 1, 0, 100], [10, 0, 0, 0], [0] * 4, [0] * 4], float),
    "bottomright": np.array([[0] * 4, [0] * 4, [0, 0, 0, 10], [100, 0, 1, 100]], float),
}


@pytest.mark.parametrize(
    ("answer", "ramp", "arguments"),
    [
        ("down_down_aa", "down", {"size": (3, 4)}),
        ("down_down_noaa", "down", {"size": (3, 4)}),
        ("down_down_irregular_aa", "down", {"size": (5, 7)}),
        ("down_down_irregular_noaa", "down", {"size": (5, 7)}),
        ("down_down_small_aa", "small", {"size": (3, 3)}),
        ("down_down_small_noaa", "small", {"size": (3, 3)}),
        ("down_down_x2_aa", "down", {"scale": 1 / 2}),
        ("down_down_x3_aa", "large", {"scale": 1 / 3}),
        ("down_down_x4_aa", "down", {"scale": 1 / 4}),
        ("down_down_x5_aa", "large", {"scale": 1 / 5}),
        ("up_up_irregular_aa", "down", {"size": (11, 13)}),
        ("up_up_irregular_noaa", "down", {"size": (11, 13)}),
        ("up_up_topleft_noaa", "topleft", {"size": (5, 5)}),
        ("up_up_bottomright_noaa", "bottomright", {"size": (5, 5)}),
        ("down_down_butterfly_irregular_aa", "butterfly", {"size": (123, 234)}),
        ("down_down_butterfly_irregular_noaa", "butterfly", {"size": (123, 234)}),
    ],
)
def test_matlab_vectors(reference_dir, answer, ramp, arguments):
    from scipy.io import loadmat

    root = reference_dir / "data/imresize/bicubic_pytorch"
    if ramp == "butterfly":
        image = read(root / "example/butterfly.png")[..., ::-1] / 255
    else:
        image = RAMPS[ramp]
    expected = loadmat(root / f"test_answer/{answer}.mat")[answer]
    result = imresize(image, antialias=not answer.endswith("noaa"), **arguments)
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= 1e-12 * np.ptp(image)


def test_matlab_512_to_123x234(reference_dir):
    root = reference_dir / "data/imresize/matlab_imresize"
    image = read(root / "lena_512x512.png")
    eight_bit = imresize(image, size=(123, 234))
    np.testing.assert_array_equal(eight_bit, read(root / "lena_123x234_uint8.png"))
    double = np.clip(np.floor(imresize(image / 255, size=(123, 234)) * 255 + 0.5), 0, 255)
    np.testing.assert_array_equal(double, read(root / "lena_123x234_double.png"))


def test_blur_down_set5(reference_dir):
    root = reference_dir / "data"
    differing = total = 0
    for path in sorted((root / "benchmark/Set5/HR").glob("*.png")):
        expected = read(root / f"LR_blur_down/Set5/{path.stem}_LRBD_x3.png").astype(int)
        result = blur_down(modcrop(read(path), 3), 3)
        assert result.shape == expected.shape
        assert np.abs(result - expected).max() <= 1, path.name
        differing += np.count_nonzero(result != expected)
        total += result.size
    assert total > 180_000
    assert differing <= 1
