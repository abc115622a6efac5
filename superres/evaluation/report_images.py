"""Images inside a report: a part of each, small enough that many of them fit into one file."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from superres.imaging._cv2 import import_cv2
from superres.imaging.comparison import largest_square
from superres.imaging.encode import encode_image
from superres.imaging.resize import imresize
from superres.imaging.samples import to_8_bit, with_channels

TOTAL_BYTES = 32 * 2**20
"""All embedded images of a report together, as text."""
MAX_IMAGES = 200

_LARGEST = 1024  # side of what is shown, in pixels
_LOSSY = 0.8  # characters per pixel of a layer, at most
_QUALITY = 85  # of WebP, where lossless is too large
_THUMB = 112  # pixels, the shorter side of a thumbnail


@dataclass
class Shot:
    """One image of a set with the results of all methods. HWC, uint8 or uint16, grey or RGB.

    Attributes:
        set, scale, name: as in results.json.
        lq: None where there is none.
        results: by the methods' names, at least one.
        hr: None where it is not at hand.
        Of ``results`` and ``hr`` what all of them cover, from the top left, is shown.
    """

    set: str
    scale: int
    name: str
    lq: np.ndarray | None
    results: dict[str, np.ndarray]
    hr: np.ndarray | None


def embed_all(places: Sequence[Any], load: Callable[[Any], Shot]) -> list[dict[str, Any]]:
    """Load and embed images one by one; of more than `MAX_IMAGES`, so many, evenly spread."""
    count = min(len(places), MAX_IMAGES)
    chosen = [places[i * len(places) // count] for i in range(count)]
    return [embed(load(place), TOTAL_BYTES // count) for place in chosen]


def embed(shot: Shot, budget: int) -> dict[str, Any]:
    """The part of a shot with the most detail, encoded into about ``budget`` characters at most.

    Returns:
        The shot's ``set``, ``scale`` and ``name``; ``layers`` as (label, data URI), which of them
        are shown first, ``left`` and ``right``; ``width`` and ``height`` of the part in pixels;
        a ``thumb`` of the whole; and, as ``text``, what was left out.
    """
    scale, results = shot.scale, {name: as_rgb8(sr) for name, sr in shot.results.items()}
    layers = [*results.items()] + ([] if shot.hr is None else [("HR", as_rgb8(shot.hr))])
    height, width = (min(x.shape[axis] for _, x in layers) for axis in (0, 1))
    side = math.isqrt(int(budget / _LOSSY / (len(layers) + 1)))
    side = max(scale, min(_LARGEST, side) // scale * scale)
    rows, columns = min(side, height), min(side, width)
    whole = layers[-1][1][:height, :width]
    cv2 = import_cv2()
    detail = cv2.absdiff(whole, cv2.blur(whole, (5, 5)))
    top, left = largest_square(detail, min(rows, columns))
    top, left = (min(top, height - rows), min(left, width - columns))
    top, left = top - top % scale, left - left % scale  # on LR's grid
    layers = [(name, x[top : top + rows, left : left + columns]) for name, x in layers]
    if shot.lq is not None:
        y, x, h, w = (number // scale for number in (top, left, rows, columns))
        lq = as_rgb8(shot.lq)[y : y + h, x : x + w]
        layers = [("LR", lq), ("bicubic", imresize(lq, scale=scale)), *layers]
    for quality in (None, _QUALITY):
        encoded = [(name, _uri(layer, quality)) for name, layer in layers]
        if sum(len(uri) for _, uri in encoded) <= budget:
            break
    text = f"WebP quality {quality}. " if quality else ""
    if (rows, columns) != (height, width):
        text += f"{columns}x{rows} of {width}x{height}, from ({left}, {top})."
    first = [name for name, _ in layers].index(next(iter(results)))
    begin = first - (len(results) == 1 and shot.lq is not None)
    end = min(begin + 1, len(layers) - 1)
    less = _THUMB / min(height, width)
    size = (max(1, round(width * less)), max(1, round(height * less)))
    thumb = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    return {
        **{"set": shot.set, "scale": scale, "name": shot.name, "layers": encoded},
        **{"left": begin, "right": end, "width": columns, "height": rows},
        **{"thumb": _uri(thumb[:_THUMB, : 2 * _THUMB], 75), "text": text.strip()},
    }


def as_rgb8(image: np.ndarray) -> np.ndarray:
    """Any image as (H, W, 3) uint8."""
    return with_channels(to_8_bit(image), "rgb")


def _uri(image: np.ndarray, quality: int | None) -> str:
    data = encode_image(np.ascontiguousarray(image), ".webp", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"
