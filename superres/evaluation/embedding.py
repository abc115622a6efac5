"""Pictures inside a report: a part of each, small enough that many of them fit into one file."""

from __future__ import annotations

import base64
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from superres.imaging._cv2 import import_cv2
from superres.imaging.comparison import busiest_square
from superres.imaging.encode import encode_image
from superres.imaging.resize import imresize
from superres.imaging.samples import to_8_bit, with_channels

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

_LARGEST = 1024  # side of what is shown, in pixels
_LOSSY = 4  # characters per pixel of all layers together, at most
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
    """The part of a shot with the most detail, encoded into about ``budget`` characters at most.

    Returns:
        The shot's ``set``, ``scale`` and ``name``; the ``layers`` as data URIs, the ``width`` and
        ``height`` of the part in pixels of SR, and, as ``text``, what was left out.
    """
    scale, sr, hr = shot.scale, as_rgb8(shot.sr), as_rgb8(shot.hr)
    height, width = sr.shape[:2]
    side = min(_LARGEST, math.isqrt(budget // _LOSSY)) // scale * scale
    rows, columns = min(side, height), min(side, width)
    top, left = busiest_square(hr, min(rows, columns))
    top, left = (min(top, height - rows), min(left, width - columns))
    top, left = top - top % scale, left - left % scale  # on LR's grid
    sr, hr = (x[top : top + rows, left : left + columns] for x in (sr, hr))
    layers = {"SR": sr, "HR": hr, "error": error_map(sr, hr)}
    if shot.lq is not None:
        y, x, h, w = (number // scale for number in (top, left, rows, columns))
        lq = as_rgb8(shot.lq)[y : y + h, x : x + w]
        layers = {"LR": lq, "bicubic": imresize(lq, scale=scale), **layers}
    for quality in (None, _QUALITY):
        encoded = {name: _uri(layer, quality) for name, layer in layers.items()}
        if sum(map(len, encoded.values())) <= budget:
            break
    text = f"Shown with WebP quality {quality}. " if quality else ""
    if (rows, columns) != (height, width):
        text += f"Shown: {columns}x{rows} of {width}x{height}, from ({left}, {top})."
    size = {"width": columns, "height": rows, "text": text.strip()}
    return {"set": shot.set, "scale": scale, "name": shot.name, "layers": encoded, **size}


def error_map(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """|SR - HR| as colours, from black (none) to yellow (32 levels and more)."""
    cv2 = import_cv2()
    error = cv2.absdiff(sr, hr).astype(np.float32).mean(axis=2) * ERROR_GAIN
    levels = np.clip(np.rint(error), 0, 255).astype(np.uint8)
    return cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]


def as_rgb8(picture: np.ndarray) -> np.ndarray:
    """Any picture as (H, W, 3) uint8."""
    return with_channels(to_8_bit(picture), "rgb")


def _uri(picture: np.ndarray, quality: int | None) -> str:
    data = encode_image(np.ascontiguousarray(picture), ".webp", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(data).decode("ascii")
