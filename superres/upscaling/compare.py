"""Before and after: an image for a talk, or a page with a slider."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from superres.errors import UserError
from superres.files import write_text
from superres.imaging.comparison import check_sizes, comparison
from superres.imaging.io import load_image, write_image
from superres.imaging.samples import to_8_bit, to_pillow, with_channels
from superres.output import shown
from superres.upscaling.python import as_arrays
from superres.upscaling.writing import on_white, turned
from superres.viewer.page import pairs_page


def save_comparison(lq: Any, sr: Any, path: str | os.PathLike[str], gt: Any = None) -> None:
    """Write a comparison: what went in, bicubic, the result and, if given, the true image.

    Args:
        lq, sr, gt: each a path, a Pillow image, an array (H, W[, C]) or a tensor (C, H, W), as
            `superres.upscaling.upscale` takes them.
        path: an image file; or ``.html`` for a page with a slider, which needs no other file.

    Raises:
        UserError: not images, sizes that don't belong together, a file that can't be written.
    """
    path, truth = Path(path), None if gt is None else as_rgb(gt)
    pair = as_rgb(lq), as_rgb(sr)
    check_sizes(*pair, truth)
    if is_page(path):
        more = [] if truth is None else [truth[: len(pair[1]), : pair[1].shape[1]]]
        save_page(path, [(path.stem, *pair, *more)])
    else:
        write_image(path, comparison(*pair, truth))


def as_rgb(image: Any) -> np.ndarray:
    """Anything that is an image as (H, W, 3) uint8, upright, transparency on white."""
    if isinstance(image, str | os.PathLike):
        picture = load_image(image)
        pixels = turned(picture.pixels, picture.orientation)
    else:
        (pixels, *more), _ = as_arrays(image)
        if more:
            raise UserError(f"a comparison needs one image, not a batch of {1 + len(more)}")
    pixels = to_8_bit(np.clip(pixels, 0, 1) if pixels.dtype.kind == "f" else pixels)
    pixels = on_white(pixels) if pixels.shape[2] in (2, 4) else pixels
    return np.ascontiguousarray(with_channels(pixels, "rgb"))


def is_page(path: str | os.PathLike) -> bool:
    """Whether a comparison of that name is a page."""
    return os.fspath(path).lower().endswith((".html", ".htm"))


def save_page(path: Path, entries: list[tuple[str, *tuple[np.ndarray, ...]]]) -> None:
    """One page for (name, before, after and perhaps truth), (H, W, 3) uint8; images are inside."""
    parts = []
    for name, *images in entries:
        sizes = (f"{image.shape[1]}×{image.shape[0]}" for image in images)
        note = ", ".join(f"{size} {label}" for size, label in zip(sizes, ("before", "after")))
        sides = zip(("before", "after", "truth"), map(_data, images))
        parts.append((shown(name), note, list(sides)))
    write_text(path, pairs_page(parts))


def _data(image: np.ndarray) -> str:
    kind = "webp" if max(image.shape) <= 16383 else "jpeg"  # the most that WebP holds
    to_pillow(image).save(buffer := io.BytesIO(), kind, quality=92)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
