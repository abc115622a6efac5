"""Pictures inside a report: a part of each, small enough that many of them fit into one file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superres.imaging._cv2 import import_cv2
from superres.imaging.comparison import busiest_square
from superres.imaging.encode import encode_image
from superres.imaging.resize import imresize

TOTAL_BYTES = 24 * 2**20
"""All embedded pictures of a report together, as text."""
MAX_PICTURES = 100
ERROR_GAIN = 8

LABELS = {
    "LR": "LR (nearest)",
    "bicubic": "bicubic",
    "SR": "SR",
    "HR": "HR",
    "error": f"error |SR - HR|, {ERROR_GAIN} times",
}

_OF_HR = 2.5  # all layers together take at least so many times what HR takes

# (longest side in pixels, WebP quality; None is lossless), the best first.
_STEPS = (
    (768, None),
    (1024, 92),
    (768, 90),
    (768, 80),
    (512, 85),
    (512, 70),
    (384, 75),
    (256, 75),
    (192, 65),
    (128, 50),
)


@dataclass
class Shot:
    """A result to look at. All pictures HWC, uint8 or uint16, grey or RGB.

    Attributes:
        set, scale, name: as in results.json.
        lq: None where there is none.
        sr, hr: of one size; ``hr`` may be up to ``scale - 1`` pixels larger.
    """

    set: str
    scale: int
    name: str
    lq: np.ndarray | None
    sr: np.ndarray
    hr: np.ndarray


@dataclass
class Embedded:
    """The layers of a shot as data URIs, and what part of it they show.

    Attributes:
        width, height: of the part, in pixels of SR.
        text: what was left out.
    """

    layers: dict[str, str]
    width: int
    height: int
    text: str


def embed(shot: Shot, budget: int) -> Embedded:
    """The part of a shot with the most detail, encoded into at most ``budget`` characters.

    (The last step is taken whatever it comes to: some 20 kB.)
    """
    layers = _layers(shot)
    height, width = layers["SR"].shape[:2]
    for side, quality in _STEPS:
        top, left, rows, columns = _part(layers["HR"], shot.scale, side)
        if quality is None and 4 * rows * columns > budget:
            continue  # lossless takes some 2 bytes per pixel and layer
        encoded: dict[str, str] = {}
        # HR, which takes most, first: most steps that are too large end there.
        for name in ("HR", *(name for name in layers if name != "HR")):
            cut = _cut(layers[name], name, shot.scale, (top, left, rows, columns))
            encoded[name] = _uri(cut, quality and quality - 25 * (name == "error"))
            size = max(len(encoded["HR"]) * _OF_HR, sum(map(len, encoded.values())))
            if size > budget and (side, quality) != _STEPS[-1]:
                break
        else:
            break
    encoded = {name: encoded[name] for name in layers}
    text = "" if quality is None else f"Shown with WebP quality {quality}. "
    if (rows, columns) != (height, width):
        text += f"Shown: {columns}x{rows} of {width}x{height}, from ({left}, {top})."
    return Embedded(encoded, columns, rows, text.strip())


def _layers(shot: Shot) -> dict[str, np.ndarray]:
    """All layers, 8-bit RGB."""
    sr = as_rgb8(shot.sr)
    hr = as_rgb8(shot.hr)[: sr.shape[0], : sr.shape[1]]
    layers = {}
    if shot.lq is not None:
        lq = as_rgb8(shot.lq)
        layers = {"LR": lq, "bicubic": imresize(lq, scale=shot.scale)}
    return {**layers, "SR": sr, "HR": hr, "error": error_map(sr, hr)}


def error_map(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """|SR - HR| as colours, from black (none) to yellow (32 levels and more)."""
    cv2 = import_cv2()
    error = cv2.absdiff(sr, hr).astype(np.float32).mean(axis=2) * ERROR_GAIN
    levels = np.clip(np.rint(error), 0, 255).astype(np.uint8)
    return cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]


def as_rgb8(picture: np.ndarray) -> np.ndarray:
    """Any picture as (H, W, 3) uint8."""
    picture = picture[..., None] if picture.ndim == 2 else picture
    if picture.dtype == np.uint16:
        picture = ((picture.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if picture.shape[2] == 1:
        picture = np.repeat(picture, 3, axis=2)
    return np.ascontiguousarray(picture[..., :3])


def _part(hr: np.ndarray, scale: int, side: int) -> tuple[int, int, int, int]:
    """(top, left, rows, columns) of the busiest part of at most ``side``, on LR's grid."""
    height, width = hr.shape[:2]
    side -= side % scale
    rows, columns = min(side, height), min(side, width)
    if (rows, columns) == (height, width):
        return 0, 0, height, width
    top, left = busiest_square(hr, min(rows, columns))
    top, left = min(top, height - rows), min(left, width - columns)
    return top - top % scale, left - left % scale, rows, columns


def _cut(
    picture: np.ndarray, layer: str, scale: int, part: tuple[int, int, int, int]
) -> np.ndarray:
    top, left, rows, columns = (x // scale for x in part) if layer == "LR" else part
    return picture[top : top + rows, left : left + columns]


def _uri(picture: np.ndarray, quality: int | None) -> str:
    data = encode_image(np.ascontiguousarray(picture), ".webp", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(data).decode("ascii")


def chosen(count: int, limit: int = MAX_PICTURES) -> Sequence[int]:
    """Which of ``count`` pictures a report shows: all, or ``limit`` of them evenly spread."""
    if count <= limit:
        return range(count)
    return [index * count // limit for index in range(limit)]
