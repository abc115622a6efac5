"""Resizing: ours against a Python loop with the same result, and against OpenCV's area filter."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.harness import Variant, measure, ratios, single_thread, sizes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sizes(parser, 16, height=1356, width=2040)
    sizes(parser, 2, scale=4)


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Shrink one random 8-bit RGB image; all but OpenCV's filter give the same samples."""
    single_thread()
    import cv2
    import numpy as np

    from superres.imaging.resize import imresize

    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (args.height, args.width, 3), dtype=np.uint8)
    ours = imresize(image, 1 / args.scale)
    if not np.array_equal(ours, resize_by_lines(image, args.scale)):
        raise AssertionError("resize_by_lines and imresize disagree")
    size = ours.shape[1::-1]
    lines, own, area = "python loop, line by line", "superres imresize", "cv2 INTER_AREA"
    calls = {
        lines: lambda: resize_by_lines(image, args.scale),
        own: lambda: imresize(image, 1 / args.scale),
        area: lambda: cv2.resize(image, size, interpolation=cv2.INTER_AREA),
    }
    rows = measure([Variant(name, call) for name, call in calls.items()], args.repeats)
    setup = {"image": f"{args.height}x{args.width}x3 uint8", "scale": f"1/{args.scale}"}
    return {"rows": rows, "ratios": ratios(rows, (lines, own), (own, area)), "setup": setup}


def resize_by_lines(image: Any, scale: int) -> Any:
    """The loop of the usual Python ports: one output row at a time, then one column."""
    import numpy as np

    for axis in (0, 1):
        length = image.shape[axis]
        # MATLAB's bicubic weights and mirrored indices.
        centre = np.arange(-(-length // scale)) * scale + (scale - 1) / 2
        index = np.floor(centre - 2 * scale + 1)[:, None].astype(int) + np.arange(4 * scale)
        x = np.abs(centre[:, None] - index) / scale
        inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        weight = np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))
        weight /= weight.sum(1, keepdims=True)
        index = np.minimum(index % (2 * length), 2 * length - 1 - index % (2 * length))
        source = np.moveaxis(image, axis, 0)
        lines = [np.tensordot(w, source[i], 1) for w, i in zip(weight, index)]
        rounded = np.clip(np.floor(np.stack(lines) + 0.5), 0, 255).astype(np.uint8)
        image = np.moveaxis(rounded, 0, axis)
    return image
