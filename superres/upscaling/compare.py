"""Before and after: a picture for a talk, or a page with a slider."""

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
from superres.imaging.comparison import comparison
from superres.imaging.io import read_picture, write_image
from superres.imaging.samples import from_pillow
from superres.upscaling.names import shown
from superres.upscaling.writing import on_white, to_pillow, turned


def save_comparison(lq: Any, sr: Any, path: str | os.PathLike, gt: Any = None) -> None:
    """Write a comparison: what went in, bicubic, the result and, if given, the true picture.

    Args:
        lq, sr, gt: each a path, a Pillow picture, an array (H, W[, C]) or a tensor (C, H, W), as
            `superres.upscaling.upscale` takes them.
        path: a picture file; or ``.html`` for a page with a slider, which needs no other file.

    Raises:
        UserError: not pictures, sizes that don't belong together, a file that can't be written.
    """
    path = Path(path)
    pictures = [as_rgb(item) for item in (lq, sr)]
    truth = None if gt is None else as_rgb(gt)
    (height, width), (h, w) = (picture.shape[:2] for picture in reversed(pictures))
    if height < h or abs(height * w - width * h) > max(h, w):
        raise UserError(
            f"a comparison needs a result that is a multiple of its input: {w}x{h} against "
            f"{width}x{height}"
        )
    if truth is not None and (truth.shape[0] < height or truth.shape[1] < width):
        raise UserError(
            f"gt must be as large as the result, {width}x{height}, not "
            f"{truth.shape[1]}x{truth.shape[0]}"
        )
    if path.suffix.lower() in (".html", ".htm"):
        save_page(path, [(path.stem, *pictures, truth)])
    else:
        write_image(path, comparison(*pictures, truth))


def as_rgb(item: Any) -> np.ndarray:
    """Anything that is a picture as (H, W, 3) uint8, upright, transparency on white."""
    from PIL import Image

    if isinstance(item, str | os.PathLike):
        picture = read_picture(item)
        pixels = turned(picture.pixels, picture.orientation)
    elif isinstance(item, Image.Image):
        pixels = from_pillow(item.convert("RGB") if item.mode == "CMYK" else item)
    elif hasattr(item, "detach"):  # a tensor, without importing torch
        tensor = item.detach().cpu()
        if tensor.ndim == 4 and tensor.shape[0] == 1:
            tensor = tensor[0]
        if tensor.ndim != 3:
            raise UserError(f"a comparison needs (C, H, W) tensors, not {tuple(tensor.shape)}")
        pixels = (tensor.float() if tensor.is_floating_point() else tensor).permute(1, 2, 0).numpy()
    else:
        pixels = np.asarray(item)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4) or 0 in pixels.shape:
        raise UserError(f"a comparison needs pictures, not something of shape {pixels.shape}")
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif pixels.dtype.kind == "f":
        if not pixels.max() <= 2:
            raise UserError(
                f"floats are expected in [0, 1], these reach {pixels.max():g}: divide them by 255"
            )
        pixels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        raise UserError(f"a comparison needs uint8, uint16 or floats in [0, 1], not {pixels.dtype}")
    if pixels.shape[2] in (2, 4):
        pixels = on_white(pixels)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else np.ascontiguousarray(pixels)


def save_page(
    path: Path, entries: list[tuple[str, np.ndarray, np.ndarray, np.ndarray | None]]
) -> None:
    """One page for (name, lq, sr, gt or None) each, (H, W, 3) uint8; pictures are inside it."""
    parts = []
    for name, lq, sr, gt in entries:
        height, width = sr.shape[:2]
        layers = [("before", lq), ("after", sr)] + ([("truth", gt)] if gt is not None else [])
        pictures = "".join(
            f'<img class="{kind}" alt="{kind}" src="data:image/webp;base64,{_webp(picture)}">'
            for kind, picture in layers
        )
        truth = "<label><input type=checkbox class=t> show the original</label>" * (gt is not None)
        parts.append(
            f"<section><h2>{html.escape(shown(name))}</h2><p>{lq.shape[1]}&times;{lq.shape[0]} "
            f"before, {width}&times;{height} after {truth}</p>"
            f'<div class="c" style="width:{width}px;aspect-ratio:{width}/{height}">{pictures}'
            '<input type="range" min="0" max="100" step="0.1" value="50" aria-label="divide">'
            "</div></section>"
        )
    page = _PAGE.replace("@BODY@", "\n".join(parts)).encode()
    write_atomically(path, lambda file: file.write(page))


def is_page_of_ours(path: str | os.PathLike) -> bool:
    """Whether a file is a page that :func:`save_page` wrote."""
    try:
        with open(path, "rb") as file:
            return b"<title>Before and after</title>" in file.read(200)
    except OSError:
        return False


def _webp(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    if max(picture.shape[:2]) > 16383:
        to_pillow(picture).save(buffer, "JPEG", quality=92)
    else:
        to_pillow(picture).save(buffer, "WEBP", quality=92)
    return base64.b64encode(buffer.getvalue()).decode()


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Before and after</title>
<meta name="viewport" content="width=device-width">
<style>
body{font:16px system-ui,sans-serif;margin:2rem;background:#fff;color:#222}
h2{font-size:1rem;margin:2rem 0 .2rem;overflow-wrap:anywhere} p{margin:0 0 .6rem;color:#555}
.c{position:relative;max-width:100%;--at:50%;user-select:none}
.c img{position:absolute;inset:0;width:100%;height:100%}
.c .after{clip-path:inset(0 0 0 var(--at))} .c .truth{visibility:hidden}
.c.t .truth{visibility:visible;clip-path:inset(0 0 0 var(--at))}
.c::after{content:"";position:absolute;inset:0 auto 0 var(--at);border-left:2px solid #fff;
box-shadow:0 0 4px #000;pointer-events:none}
.c input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize}
</style></head><body><h1>Before and after</h1>
<p>Left of the line: the picture as it was, enlarged by the browser. Right: the result.</p>
@BODY@
<script>
for (const box of document.querySelectorAll('.c')) {
  const range = box.querySelector('input');
  range.addEventListener('input', () => box.style.setProperty('--at', range.value + '%'));
}
for (const tick of document.querySelectorAll('input.t'))
  tick.addEventListener('change', () =>
    tick.closest('section').querySelector('.c').classList.toggle('t', tick.checked));
</script></body></html>
"""
