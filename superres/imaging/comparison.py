"""An image that shows results side by side, with an upscaled part of each."""

from __future__ import annotations

import numpy as np

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.imaging.resize import imresize

_LABEL = 28  # pixels of the strip with the name
_GAP = 6
_COLUMN = 400  # pixels


def largest_square(amount: np.ndarray, side: int) -> tuple[int, int]:
    """(top, left) of the square of an (H, W[, C]) array with the largest sum."""
    amount = np.float32(amount).reshape(*amount.shape[:2], -1).sum(axis=2)
    sums = import_cv2().boxFilter(amount, -1, (side, side), anchor=(0, 0), normalize=False)
    valid = sums[: amount.shape[0] - side + 1, : amount.shape[1] - side + 1]
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


def comparison(lq: np.ndarray, sr: np.ndarray, gt: np.ndarray | None = None) -> np.ndarray:
    """Before, bicubic, result and, if given, truth: whole above, an upscaled square below.

    The square is a tenth as wide as the image, and lies where result and bicubic differ most.

    Args:
        lq: (h, w, 3) uint8 RGB.
        sr: (h * s, w * s, 3) uint8 RGB, for any s from 1, rounded to whole pixels.
        gt: like ``sr``.

    Raises:
        UserError: sizes that don't belong together.
    """
    cv2 = import_cv2()
    check_sizes(lq, sr, gt)
    height, width = sr.shape[:2]
    nearest = cv2.resize(lq, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    bicubic = imresize(lq, size=(height, width))
    panels = {f"before, {lq.shape[1]} x {lq.shape[0]}": nearest, "bicubic": bicubic}
    panels[f"result, {width} x {height}"] = sr
    if gt is not None:
        panels["truth"] = gt[:height, :width]
    side = min(max(width // 10, 16), height, width)
    top, left = largest_square(cv2.absdiff(sr, bicubic), side)
    gap = np.full((_GAP, _COLUMN, 3), 255, np.uint8)
    columns = []
    for label, image in panels.items():
        size = (_COLUMN, max(1, round(height * _COLUMN / width)))
        whole = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        x, y, end = (round(n * _COLUMN / width) for n in (left, top, side))
        cv2.rectangle(whole, (x, y), (x + end, y + end), (255, 60, 60), 2)
        square = image[top : top + side, left : left + side]
        way = cv2.INTER_NEAREST if side < _COLUMN else cv2.INTER_AREA
        square = cv2.resize(square, (_COLUMN, _COLUMN), interpolation=way)
        strip = np.full((_LABEL, _COLUMN, 3), 255, np.uint8)
        cv2.putText(strip, label, (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
        column = np.vstack([strip, whole, gap, square])
        columns.append(np.pad(column, ((0, 0), (0, _GAP), (0, 0)), constant_values=255))
    return np.hstack(columns)[:, :-_GAP]
