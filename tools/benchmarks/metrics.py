"""PSNR and SSIM on luma: ours against the usual 2D-filter, float-everywhere formulas."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.harness import Variant, measure, ratios, single_thread, sizes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sizes(parser, 16, height=1356, width=2040)


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Score one pair of 8-bit RGB images; both formulas give the same numbers."""
    single_thread()
    import cv2
    import numpy as np

    from superres.evaluation.metrics import psnr, ssim

    rng = np.random.default_rng(0)
    shape = (args.height, args.width, 3)
    coarse = rng.integers(0, 256, (shape[0] // 8, shape[1] // 8, 3), dtype=np.uint8)
    hr = cv2.resize(coarse, shape[1::-1], interpolation=cv2.INTER_CUBIC)
    sr = np.clip(hr + rng.normal(0, 5, shape).round(), 0, 255).astype(np.uint8)
    calls = {
        "PSNR-Y plain": lambda: 10 * np.log10(255**2 / np.mean((plain_y(sr) - plain_y(hr)) ** 2)),
        "PSNR-Y superres": lambda: psnr(sr, hr, channel="y"),
        "SSIM-Y plain": lambda: plain_ssim_y(sr, hr),
        "SSIM-Y superres": lambda: ssim(sr, hr, channel="y"),
    }
    pairs = [(f"{name} plain", f"{name} superres") for name in ("PSNR-Y", "SSIM-Y")]
    for (plain, own), tolerance in zip(pairs, (1e-6, 1e-8)):
        if not abs(calls[own]() - calls[plain]()) <= tolerance:
            raise AssertionError(f"{own} is {calls[own]()}, {plain} gives {calls[plain]()}")
    rows = measure([Variant(name, call) for name, call in calls.items()], args.repeats)
    setup = {"images": f"{args.height}x{args.width}x3 uint8", "threads": 1}
    return {"rows": rows, "ratios": ratios(rows, *pairs), "setup": setup}


def plain_y(image: Any) -> Any:
    """Studio-range luma of the whole image in float64."""
    return (image / 255.0) @ [65.481, 128.553, 24.966] + 16


def plain_ssim_y(sr: Any, hr: Any) -> float:
    """Luma of both images, then five 11x11 filters, cropped to the valid region."""
    import cv2
    import numpy as np

    line = cv2.getGaussianKernel(11, 1.5)
    window = np.outer(line, line)

    def mean(x: Any) -> Any:
        return cv2.filter2D(x, -1, window)[5:-5, 5:-5]

    a, b = plain_y(sr), plain_y(hr)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a**2) - mean_a**2, mean(b**2) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())
