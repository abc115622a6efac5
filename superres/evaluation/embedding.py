"""Pictures inside a report: a part of each, small enough that many of them fit into one file."""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass
from typing import Any

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

_LOSSLESS = 9  # characters per pixel of all layers together, at most
_SIDES = (1024, 768, 512, 384, 256, 128)  # of what is shown, in pixels
_QUALITY = 85  # of WebP, where lossless is too large


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


class Album:
    """The pictures of a report, embedded one by one as they are made.

    Args:
        total: how many there will be in all processes. They share the space; of more than
            ``MAX_PICTURES``, so many are taken, evenly spread.
        first, step: this process makes number ``first``, ``first + step`` and so on.

    Attributes:
        shots: (number, what the report's page needs of the picture).
    """

    def __init__(self, total: int, first: int = 0, step: int = 1) -> None:
        self.shots: list[tuple[int, dict[str, Any]]] = []
        self._numbers = itertools.count(first, step)
        self._chosen = {i * total // MAX_PICTURES for i in range(MAX_PICTURES)}
        self._budget = TOTAL_BYTES // max(1, min(total, MAX_PICTURES))

    def add(self, shot: Shot) -> None:
        """Take the next picture, or leave it out."""
        if (number := next(self._numbers)) in self._chosen:
            self.shots.append((number, embed(shot, self._budget)))


def embed(shot: Shot, budget: int) -> dict[str, Any]:
    """The part of a shot with the most detail, encoded into at most ``budget`` characters.

    (The smallest part is taken whatever it comes to: some 50 kB.)

    Returns:
        The shot's ``set``, ``scale`` and ``name``; the ``layers`` as data URIs, the ``width`` and
        ``height`` of the part in pixels of SR, and, as ``text``, what was left out.
    """
    layers = _layers(shot)
    height, width = layers["SR"].shape[:2]
    for side in _SIDES:
        top, left, rows, columns = part = _part(layers["HR"], shot.scale, side)
        if rows * columns > 3 * budget and side != _SIDES[-1]:
            continue  # lossy takes some character per pixel
        quality = None if rows * columns * _LOSSLESS <= budget else _QUALITY
        encoded = {
            name: _uri(_cut(layer, part, shot.scale if name == "LR" else 1), quality)
            for name, layer in layers.items()
        }
        if sum(map(len, encoded.values())) <= budget:
            break
    text = "" if quality is None else f"Shown with WebP quality {quality}. "
    if (rows, columns) != (height, width):
        text += f"Shown: {columns}x{rows} of {width}x{height}, from ({left}, {top})."
    size = {"width": columns, "height": rows, "text": text.strip()}
    return {"set": shot.set, "scale": shot.scale, "name": shot.name, "layers": encoded, **size}


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
    return np.ascontiguousarray(np.broadcast_to(picture[..., :3], (*picture.shape[:2], 3)))


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


def _cut(picture: np.ndarray, part: tuple[int, int, int, int], scale: int) -> np.ndarray:
    top, left, rows, columns = (x // scale for x in part)
    return picture[top : top + rows, left : left + columns]


def _uri(picture: np.ndarray, quality: int | None) -> str:
    data = encode_image(np.ascontiguousarray(picture), ".webp", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(data).decode("ascii")
