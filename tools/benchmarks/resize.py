"""Resizing: ours against a Python loop with the same result, and against OpenCV's area filter."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.harness import Variant, measure, ratio, report, single_thread
from superres.errors import UserError
from superres.options import whole_scale


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--height", type=int, default=1356, help="of the picture (1356)")
    parser.add_argument("--width", type=int, default=2040, help="of the picture (2040)")
    parser.add_argument("--scale", type=whole_scale, default=4, help="shrink by this factor (4)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Shrink one random 8-bit RGB picture; all but OpenCV's filter give the same samples."""
    if args.scale < 1 or min(args.height, args.width) < args.scale:
        raise UserError(
            f"benchmark resize: cannot shrink {args.height}x{args.width} (HxW) by {args.scale}"
        )
    single_thread()
    import cv2
    import numpy as np

    from superres.imaging.resize import imresize

    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (args.height, args.width, 3), dtype=np.uint8)
    ours = imresize(image, 1 / args.scale)
    for baseline in (resize_by_lines, resize_by_samples):
        if not np.array_equal(ours, baseline(image, args.scale)):
            raise AssertionError(f"{baseline.__name__} and imresize disagree")
    size = ours.shape[1::-1]
    calls = {
        "python loop, sample by sample": lambda: resize_by_samples(image, args.scale),
        "python loop, line by line": lambda: resize_by_lines(image, args.scale),
        "superres imresize": lambda: imresize(image, 1 / args.scale),
        "cv2 INTER_AREA": lambda: cv2.resize(image, size, interpolation=cv2.INTER_AREA),
    }
    rows = measure([Variant(name, call) for name, call in calls.items()], args.repeats)
    samples, lines, own, area = calls
    ratios = {
        "sample loop / superres": ratio(rows, samples, own),
        "line loop / superres": ratio(rows, lines, own),
        "superres / cv2 INTER_AREA": ratio(rows, own, area),
    }
    size = f"{args.height}x{args.width}x3 uint8"
    setup = {"picture": size, "scale": f"1/{args.scale}", "threads": 1}
    return report("resize", rows, ratios, setup=setup)


def _weights(length: int, scale: int) -> tuple[Any, Any]:
    """MATLAB's bicubic weights and mirrored indices of one axis."""
    import numpy as np

    centre = np.arange(-(-length // scale)) * scale + (scale - 1) / 2
    index = np.floor(centre - 2 * scale + 1)[:, None].astype(int) + np.arange(4 * scale)
    x = np.abs(centre[:, None] - index) / scale
    inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weight = np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))
    index %= 2 * length
    return weight / weight.sum(1, keepdims=True), np.minimum(index, 2 * length - 1 - index)


def resize_by_lines(image: Any, scale: int) -> Any:
    """The loop of the usual Python ports: one output row at a time, then one column."""
    import numpy as np

    (rows, row_index), (cols, col_index) = (_weights(n, scale) for n in image.shape[:2])
    tall = np.empty((len(rows), *image.shape[1:]), np.uint8)
    for i, (weight, index) in enumerate(zip(rows, row_index)):
        line = np.tensordot(weight, image[index], 1)
        tall[i] = np.clip(np.floor(line + 0.5), 0, 255)
    out = np.empty((len(rows), len(cols), image.shape[2]), np.uint8)
    for j, (weight, index) in enumerate(zip(cols, col_index)):
        line = np.tensordot(tall[:, index], weight, (1, 0))
        out[:, j] = np.clip(np.floor(line + 0.5), 0, 255)
    return out


def resize_by_samples(image: Any, scale: int) -> Any:
    """The loop of the literal Python ports: every row, and every column in it."""
    import numpy as np

    (rows, row_index), (cols, col_index) = (_weights(n, scale) for n in image.shape[:2])
    tall = np.empty((len(rows), *image.shape[1:]), np.uint8)
    for i, (weight, index) in enumerate(zip(rows, row_index)):
        for j in range(image.shape[1]):
            tall[i, j] = (weight @ image[index, j] + 0.5).clip(0, 255)
    out = np.empty((len(rows), len(cols), image.shape[2]), np.uint8)
    for i in range(len(rows)):
        for j, (weight, index) in enumerate(zip(cols, col_index)):
            out[i, j] = (weight @ tall[i, index] + 0.5).clip(0, 255)
    return out
