"""Pictures in tiles: exact ones, blended ones, and the published chop."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch

from superres.errors import UserError

Forward = Callable[[torch.Tensor], torch.Tensor]

CHOP_SHAVE = 10
CHOP_MIN_SIZE = 160_000


def cuts(length: int, tile: int) -> list[tuple[int, int]]:
    """Split ``length`` pixels into the fewest spans of at most ``tile``, as equal as can be."""
    count = -(-length // tile)
    edges = [index * length // count for index in range(count + 1)]
    return list(itertools.pairwise(edges))


def upscale_in_tiles(
    forward: Forward, x: torch.Tensor, scale: int, tile: int, overlap: int, blend: bool
) -> torch.Tensor:
    """Apply ``forward`` tile by tile.

    A tile is ``tile`` pixels wide and high, and the network sees ``overlap`` more of the real
    picture on each side, except beyond the picture's own border, where the network pads as it
    would for the whole picture. With an overlap of at least the receptive radius the result is
    therefore that of the whole picture, up to float rounding.

    Args:
        forward: (N, C, h, w) to (N, C', h * scale, w * scale).
        x: (N, C, H, W).
        tile, overlap: input pixels.
        blend: instead of cutting the overlap off, fade from each tile to the next across it.

    Returns:
        (N, C', H * scale, W * scale), of the type that ``forward`` returns.
    """
    height, width = x.shape[2:]
    rows, columns = cuts(height, tile), cuts(width, tile)
    if blend:
        row_fades = _fades(rows, height, scale, overlap, x.device)
        column_fades = _fades(columns, width, scale, overlap, x.device)
    out: torch.Tensor | None = None
    for i, (top, bottom) in enumerate(rows):
        for j, (left, right) in enumerate(columns):
            up, down = max(0, top - overlap), min(height, bottom + overlap)
            west, east = max(0, left - overlap), min(width, right + overlap)
            y = forward(x[:, :, up:down, west:east].contiguous())
            if out is None:
                shape = (*y.shape[:2], height * scale, width * scale)
                out = y.new_zeros(shape) if blend else y.new_empty(shape)
            if blend:
                y = y * row_fades[i][:, None].to(y.dtype) * column_fades[j].to(y.dtype)
                out[:, :, up * scale : down * scale, west * scale : east * scale] += y
            else:
                out[:, :, top * scale : bottom * scale, left * scale : right * scale] = y[
                    :,
                    :,
                    (top - up) * scale : (bottom - up) * scale,
                    (left - west) * scale : (right - west) * scale,
                ]
    return out


def _fades(
    spans: list[tuple[int, int]], length: int, scale: int, overlap: int, device: torch.device
) -> list[torch.Tensor]:
    """Weights of each tile along one axis, over its output pixels; they add up to 1."""
    total = torch.zeros(length * scale, device=device)
    fades: list[tuple[int, int, torch.Tensor]] = []
    for start, stop in spans:
        low, high = max(0, start - overlap), min(length, stop + overlap)
        at = (torch.arange(low * scale, high * scale, device=device) + 0.5) / scale
        weight = torch.ones_like(at)
        if overlap and start > 0:
            weight = weight.minimum((at - (start - overlap)) / (2 * overlap))
        if overlap and stop < length:
            weight = weight.minimum((stop + overlap - at) / (2 * overlap))
        total[low * scale : high * scale] += weight
        fades.append((low, high, weight))
    return [weight / total[low * scale : high * scale] for low, high, weight in fades]


def chop(
    forward: Forward,
    x: torch.Tensor,
    scale: int,
    shave: int = CHOP_SHAVE,
    min_size: int = CHOP_MIN_SIZE,
) -> torch.Tensor:
    """The published ``--chop``: four overlapping quadrants, each split again while it is large.

    EDSR-PyTorch at 4f5e2ced, src/model/__init__.py, forward_chop (the RCAN and DRLN authors use
    the same). Halves are computed in input pixels and then multiplied by the scale, which is
    right for every size; the later rewrite fails on odd ones. Not equal to the whole picture
    when the network looks further than ``shave``, or pools globally.

    Args:
        forward, x, scale: as in :func:`upscale_in_tiles`.
        shave: input pixels that a quadrant reaches beyond the middle.
        min_size: a quadrant of at least so many input pixels is split again.
    """
    if min_size <= (2 * shave + 1) ** 2:
        raise UserError(
            f"chop: min_size must be more than (2 * shave + 1)^2 = {(2 * shave + 1) ** 2}, "
            f"not {min_size}, or splitting would never end"
        )
    height, width = x.shape[2:]
    # A picture narrower than the overlap is not split along that side.
    tall, wide = min(height, height // 2 + shave), min(width, width // 2 + shave)

    def quadrant(top: bool, left: bool) -> torch.Tensor:
        part = x[
            :,
            :,
            slice(0, tall) if top else slice(height - tall, height),
            slice(0, wide) if left else slice(width - wide, width),
        ].contiguous()
        return (
            forward(part) if tall * wide < min_size else chop(forward, part, scale, shave, min_size)
        )

    middle_y, middle_x = height // 2 * scale, width // 2 * scale
    out: torch.Tensor | None = None
    for top in (True, False):
        for left in (True, False):
            y = quadrant(top, left)
            if out is None:
                out = y.new_empty((*y.shape[:2], height * scale, width * scale))
            rows = slice(0, middle_y) if top else slice(middle_y, height * scale)
            columns = slice(0, middle_x) if left else slice(middle_x, width * scale)
            skip_y = 0 if top else (tall - height) * scale + middle_y
            skip_x = 0 if left else (wide - width) * scale + middle_x
            target = out[:, :, rows, columns]
            target.copy_(
                y[:, :, skip_y : skip_y + target.shape[2], skip_x : skip_x + target.shape[3]]
            )
    return out
