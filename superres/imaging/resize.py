"""Resize images exactly as MATLAB's ``imresize`` does.

Super-resolution pairs and published scores are made with MATLAB's bicubic. Three habits of it
decide the numbers: the kernel is stretched when shrinking (antialiasing), the axis with the smaller
scale goes first (the height when equal), and an integer image is rounded, half up, and clamped
**after each of the two passes**. Two generations of MATLAB differ within two output pixels of the
border: newer releases mirror the image there (``border='reflect'``), older ones repeat the edge
sample (``border='replicate'``).

How it is fast and still exact: the weights of a pass form a banded matrix that is cut into small
dense blocks, each applied as one matrix product. Weights that are multiples of a small power of
two (bicubic by 1/2 and 1/4) make every partial sum of 8-bit samples an exact float32 number, so
the order of summation cannot matter. For all other weights the few sums that come within rounding
error of a half are made again in float64 and in MATLAB's order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.imaging.kernels import BORDERS, KERNELS, Plan, contributions, plan_pass

cv2 = import_cv2()

ROUNDINGS = ("uint8_each_pass", "float")
_TYPES = (np.uint8, np.uint16, np.float32, np.float64)
# Multiply-adds of one matrix product. Below a million OpenBLAS takes its way for small matrices,
# without packing and without threads, and the operands stay in the cache.
_PIECE_WORK = 720_000


def imresize(
    image: np.ndarray,
    scale: float | Sequence[float] | None = None,
    size: Sequence[int] | None = None,
    method: str = "bicubic",
    antialias: bool = True,
    border: str = "reflect",
    rounding: str = "uint8_each_pass",
) -> np.ndarray:
    """Resize an image with the numbers of MATLAB's ``imresize``.

    Args:
        image: (H, W) or (H, W, C), of type uint8, uint16, float32 or float64, any value range.
            Float samples must be finite: a NaN or an infinity would spread, so it is refused.
        scale: output over input, one number or (vertical, horizontal). The output has
            ``ceil(H * scale)`` rows. Give either this or ``size``.
        size: output (height, width); the scale of each axis is output over input.
        method: ``bicubic``, ``bilinear``, ``box``, ``nearest`` (never antialiased) or
            ``lanczos3``.
        antialias: stretch the kernel when shrinking.
        border: ``reflect`` for newer MATLAB releases, ``replicate`` for older ones.
        rounding: ``uint8_each_pass`` rounds an integer image to its own type (uint16 too) after
            each pass, as MATLAB does. ``float`` computes it in float64 without rounding or
            clamping and returns float64 on the same range.

    Returns:
        (h, w) or (h, w, C). An integer image keeps its type unless ``rounding='float'``. Float
        images are computed in float64, never rounded or clamped, and keep their type.

    Raises:
        UserError: for an argument or image outside of what is listed above.
    """
    _check(image)
    names = {"method": KERNELS, "border": BORDERS, "rounding": ROUNDINGS}
    for (what, known), name in zip(names.items(), (method, border, rounding)):
        if name not in known:
            raise UserError(f"imresize: unknown {what} {name!r}; known are {', '.join(known)}")
    out_size, scales = _geometry(image.shape[:2], scale, size)
    result = image
    if image.dtype.kind == "f" or rounding == "float":
        result = image.astype(np.float64, copy=False)
    # MATLAB sorts the axes by scale, stably: the stronger reduction first, the height when equal.
    for axis in (0, 1) if scales[0] <= scales[1] else (1, 0):
        if out_size[axis] == image.shape[axis] and scales[axis] == 1:
            continue  # the weights of this pass are the identity
        result = _resize_axis(result, axis, out_size[axis], scales[axis], method, antialias, border)
    if image.dtype == np.float32:
        return result.astype(np.float32)
    return result.copy() if result is image else result


def modcrop(image: np.ndarray, scale: int) -> np.ndarray:
    """Crop the bottom and the right so that height and width are multiples of ``scale``.

    Args:
        image: (H, W) or (H, W, C).
        scale: a positive integer.

    Returns:
        A view of ``image``.

    Raises:
        UserError: the scale is not a positive integer, or larger than the image.
    """
    height, width = image.shape[:2]
    if type(scale) is bool or scale != int(scale) or not 1 <= scale <= min(height, width):
        raise UserError(
            f"modcrop: the scale must be a positive integer, not above the sides of the image, "
            f"{height}x{width} (HxW); it is {scale!r}"
        )
    return image[: height - height % int(scale), : width - width % int(scale)]


def _check(image: np.ndarray) -> None:
    """Raise UserError if it is not an image."""
    array = np.asarray(image)
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype not in _TYPES:
        raise UserError(
            "imresize: the image must be an array (H, W) or (H, W, C), not empty, of uint8, "
            f"uint16, float32 or float64, not {array.dtype} of shape {array.shape}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError("imresize: the image has NaN or infinite samples; replace them first")


def _geometry(
    in_size: Sequence[int], scale: float | Sequence[float] | None, size: Sequence[int] | None
) -> tuple[list[int], list[float]]:
    """Output (height, width) and the two scales for an input of ``in_size`` (height, width).

    Raises:
        UserError: not exactly one of ``scale`` and ``size`` is given, or it is not positive.
    """
    if (scale is None) == (size is None):
        raise UserError("imresize: give either scale or size (exactly one of them)")
    given = [scale, scale] if np.ndim(scale) == 0 and size is None else [*(size or scale)]
    whole = size is None or all(side == int(side) for side in given)
    if len(given) != 2 or not whole or not all(0 < value < math.inf for value in given):
        raise UserError(
            "imresize: scale is one or two positive numbers, and size two positive whole ones, not "
            f"{given!r}"
        )
    if size is not None:
        return [int(side) for side in size], [side / of for side, of in zip(size, in_size)]
    return [math.ceil(of * value) for of, value in zip(in_size, given)], [*map(float, given)]


def _resize_axis(
    image: np.ndarray,
    axis: int,
    length: int,
    scale: float,
    method: str,
    antialias: bool,
    border: str,
) -> np.ndarray:
    """One pass along ``axis``, rounded and clamped to the image's type if that is integer."""
    if axis == 1:
        turned = _resize_axis(_transpose(image), 0, length, scale, method, antialias, border)
        return _transpose(turned)
    rows = np.ascontiguousarray(image).reshape(image.shape[0], -1)
    out = np.empty((length, rows.shape[1]), image.dtype)
    key = (rows.shape[0], length, scale, method, antialias, border)
    if image.dtype.kind == "f":
        for start, stop, left, right, sums in _products(rows, plan_pass(*key, 0)):
            out[start:stop, left:right] = sums
    else:
        _integer_pass(rows, out, key)
    return out.reshape(length, *image.shape[1:])


def _integer_pass(rows: np.ndarray, out: np.ndarray, key: tuple) -> None:
    """Fill ``out`` with the sums over ``rows``, rounded half up and clamped."""
    peak = int(np.iinfo(out.dtype).max)
    plan = plan_pass(*key, peak)
    near_row, near_column = [], []
    for start, stop, left, right, sums in _products(rows, plan):
        target = out[start:stop, left:right]
        # A half more and cut off: rounded half up. Clamping at peak + 0.5 keeps a saturated
        # sample the same when the margin is taken off again below.
        sums += 0.5 + plan.margin
        np.clip(sums, 0, peak + 0.5, out=sums)
        np.copyto(target, sums, casting="unsafe")
        if not plan.margin:
            continue
        sums -= 2 * plan.margin
        near = target != sums.astype(out.dtype)  # too close to a tie to be trusted
        if near.any():
            row, column = np.nonzero(near)
            near_row.append(row + start)
            near_column.append(column + left)
    if not near_row:
        return
    # In float64 and in MATLAB's order: from the first tap to the last.
    row, column = np.concatenate(near_row), np.concatenate(near_column)
    table = contributions(*key)
    total = np.zeros(row.shape)
    for tap in range(table.weights.shape[1]):
        total += table.weights[row, tap] * rows[table.indices[row, tap], column]
    out[row, column] = np.clip(np.floor(total + 0.5), 0, peak)


def _products(rows: np.ndarray, plan: Plan) -> Iterator[tuple[int, int, int, int, np.ndarray]]:
    """(start, stop, left, right, sums) for every piece of the output of one pass.

    ``sums`` is a buffer that the next piece overwrites.
    """
    height, reach = np.max([block.shape for *_, block in plan.blocks], axis=0)
    columns = min(max(256, _PIECE_WORK // (height * reach)), rows.shape[1])
    room = np.empty((height + reach, columns), plan.blocks[0][-1].dtype)
    for start, stop, low, high, block in plan.blocks:
        for left in range(0, rows.shape[1], columns):
            right = min(left + columns, rows.shape[1])
            piece = rows[low:high, left:right]
            sums = room[: stop - start, : right - left]
            if piece.dtype != block.dtype:
                converted = room[height : height + high - low, : right - left]
                np.copyto(converted, piece)
                piece = converted
            yield start, stop, left, right, np.matmul(block, piece, out=sums)


def _transpose(image: np.ndarray) -> np.ndarray:
    """(H, W[, C]) to (W, H[, C]), contiguous. cv2 does this ten times faster than numpy."""
    if image.ndim == 2 or image.shape[2] <= 4:
        return cv2.transpose(image).reshape(image.shape[1], image.shape[0], *image.shape[2:])
    return np.ascontiguousarray(image.swapaxes(0, 1))
