"""Before and after: an image for a talk, or a page with a slider."""

from __future__ import annotations

import base64
import html
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from superres.errors import UserError
from superres.files import write_atomically
from superres.imaging.comparison import check_sizes, comparison
from superres.imaging.io import read_picture, write_image
from superres.imaging.samples import to_8_bit, to_pillow, with_channels
from superres.output import shown
from superres.upscaling.python import as_arrays
from superres.upscaling.writing import on_white, turned


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
    if not is_page(path):
        write_image(path, comparison(*pair, truth))
        return
    original = [] if truth is None else [(f"{path.stem}, the original", pair[1], truth)]
    save_page(path, [(path.stem, *pair), *original])


def as_rgb(image: Any) -> np.ndarray:
    """Anything that is an image as (H, W, 3) uint8, upright, transparency on white."""
    if isinstance(image, str | os.PathLike):
        picture = read_picture(image)
        pixels = turned(picture.pixels, picture.orientation)
    else:
        stack, _ = as_arrays(image)
        if len(stack) > 1:
            raise UserError(f"a comparison needs one image, not a batch of {len(stack)}")
        pixels = stack[0]
    pixels = to_8_bit(np.clip(pixels, 0, 1) if pixels.dtype.kind == "f" else pixels)
    pixels = on_white(pixels) if pixels.shape[2] in (2, 4) else pixels
    return np.ascontiguousarray(with_channels(pixels, "rgb"))


def is_page(path: str | os.PathLike) -> bool:
    """Whether a comparison of that name is a page."""
    return os.fspath(path).lower().endswith((".html", ".htm"))


def save_page(path: Path, entries: list[tuple[str, np.ndarray, np.ndarray]]) -> None:
    """One page for (name, before, after) each, (H, W, 3) uint8; images are inside it."""
    parts = []
    for name, before, after in entries:
        height, width = after.shape[:2]
        images = "".join(
            f'<img class="{kind}" alt="{kind}" src="data:image/{_data(image)}">'
            for kind, image in (("before", before), ("after", after))
        )
        parts.append(
            f"<section><h2>{html.escape(shown(name))}</h2><p>{before.shape[1]}&times;"
            f"{before.shape[0]} before, {width}&times;{height} after</p>"
            f'<div class="c" style="width:{width}px;aspect-ratio:{width}/{height}">{images}'
            '<input type="range" min="0" max="100" step="0.1" value="50" aria-label="divide">'
            "</div></section>"
        )
    page = _PAGE.replace("@BODY@", "\n".join(parts)).encode()
    write_atomically(path, lambda file: file.write(page))


def is_page_of_ours(path: str | os.PathLike) -> bool:
    """Whether a file is a page that :func:`save_page` wrote."""
    with open(path, "rb") as file:
        return b"<title>Before and after</title>" in file.read(200)


def _data(image: np.ndarray) -> str:
    kind = "webp" if max(image.shape) <= 16383 else "jpeg"  # the most that WebP holds
    to_pillow(image).save(buffer := io.BytesIO(), kind, quality=92)
    return f"{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Before and after</title>
<meta name="viewport" content="width=device-width"><style>
body{font:16px system-ui,sans-serif;margin:2rem;background:#fff;color:#222}
h2{font-size:1rem;margin:2rem 0 .2rem;overflow-wrap:anywhere} p{margin:0 0 .6rem;color:#555}
.c{position:relative;max-width:100%;--at:50%;user-select:none}
.c img{position:absolute;inset:0;width:100%;height:100%}
.c .after{clip-path:inset(0 0 0 var(--at))}
.c::after{content:"";position:absolute;inset:0 auto 0 var(--at);border-left:2px solid #fff;
box-shadow:0 0 4px #000;pointer-events:none}
.c input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize}
</style></head><body><h1>Before and after</h1>
<p>Left of the line: the picture as it was, enlarged by the browser. Right: the result.</p>
@BODY@
<script>
addEventListener('input', ({target}) =>
  target.parentNode.style.setProperty('--at', target.value + '%'));
</script></body></html>
"""
