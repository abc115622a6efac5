"""A picture that shows results side by side, with an enlarged part of each."""

from __future__ import annotations

import numpy as np

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.imaging.resize import imresize

_LABEL = 28  # pixels of the strip with the name
_GAP = 6


def busiest_square(picture: np.ndarray, side: int) -> tuple[int, int]:
    """(top, left) of the square with the strongest gradients, where methods differ most."""
    cv2 = import_cv2()
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    sums = cv2.boxFilter(edges, -1, (side, side), anchor=(0, 0), normalize=False)
    valid = sums[: picture.shape[0] - side + 1, : picture.shape[1] - side + 1]
    top, left = np.unravel_index(int(valid.argmax()), valid.shape)
    return int(top), int(left)


def check_sizes(lq: np.ndarray, sr: np.ndarray, gt: np.ndarray | None = None) -> None:
    """UserError where the images of a comparison don't belong together by their size."""
    (h, w), (height, width) = lq.shape[:2], sr.shape[:2]
    # Sizes are whole, so a scale of 2.5 may miss by half a pixel of either image.
    good = height >= h and abs(width - w * height / h) <= max(1, height / h / 2)
    if not good or (gt is not None and (gt.shape[0] < height or gt.shape[1] < width)):
        found = ", ".join(f"{x.shape[1]}x{x.shape[0]}" for x in (lq, sr, gt) if x is not None)
        raise UserError(
            "a comparison needs a result that is a multiple of its input, the same for height and "
            f"width, and gt must be as large as the result, not {found}"
        )


def comparison(
    lq: np.ndarray, sr: np.ndarray, gt: np.ndarray | None = None, zoom: int = 4, side: int = 96
) -> np.ndarray:
    """LR (nearest), bicubic, SR and, if given, HR: whole above, an enlarged square below.

    Args:
        lq: (h, w, 3) uint8 RGB.
        sr: (h * s, w * s, 3) uint8 RGB, for any s from 1, rounded to whole pixels.
        gt: like ``sr``.
        zoom: enlargement of the square.
        side: of the square, in pixels of ``sr``; smaller pictures show all of theirs.

    Raises:
        UserError: sizes that don't belong together.
    """
    cv2 = import_cv2()
    check_sizes(lq, sr, gt)
    height, width = sr.shape[:2]
    scale = height / lq.shape[0]
    nearest = cv2.resize(lq, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    bicubic = imresize(lq, size=(height, width))
    panels = {f"LR x{scale:.3g} (nearest)": nearest, "bicubic": bicubic, "SR": sr}
    if gt is not None:
        panels["HR"] = gt[:height, :width]
    side = min(side, height, width)
    top, left = busiest_square(panels.get("HR", sr), side)
    shown = max(side * zoom, 160)  # pixels, the width of a column
    gap = np.full((_GAP, shown, 3), 255, np.uint8)
    columns = []
    for label, picture in panels.items():
        marked = picture.copy()
        cv2.rectangle(marked, (left, top), (left + side - 1, top + side - 1), (255, 60, 60), 2)
        size = (shown, round(height * shown / width))
        whole = cv2.resize(marked, size, interpolation=cv2.INTER_AREA)
        square = picture[top : top + side, left : left + side]
        square = cv2.resize(square, (shown, shown), interpolation=cv2.INTER_NEAREST)
        strip = np.full((_LABEL, shown, 3), 255, np.uint8)
        cv2.putText(strip, label, (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
        column = np.vstack([strip, whole, gap, square])
        columns.append(np.pad(column, ((0, 0), (0, _GAP), (0, 0)), constant_values=255))
    return np.hstack(columns)[:, :-_GAP]
