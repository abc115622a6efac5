"""``upscale_tensor``: chooses between whole picture, tiles and chop, and survives low memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from superres.errors import UserError
from superres.inference.ensemble import SelfEnsemble
from superres.inference.memory import PROBE, bytes_per_pixel, free_memory, is_out_of_memory
from superres.inference.tiled import chop, upscale_in_tiles
from superres.inference.whole import Upscaler, check_input, forward, radius_of

BLENDED_OVERLAP = 32
"""Overlap, in input pixels, of the tiles of a network that sees the whole picture at once."""
SMALLEST_TILE = 16


@dataclass
class UpscaleRecord:
    """How a picture was upscaled.

    Attributes:
        mode: ``'whole'``, ``'tiles'``, ``'blended-tiles'`` or ``'edsr-chop'``.
        tile, overlap: input pixels; None unless in tiles.
        exact: the result is that of the whole picture, up to float rounding.
        notes: sentences for a person: why it is not exact, that memory ran out, ...
    """

    mode: str = "whole"
    tile: int | None = None
    overlap: int | None = None
    exact: bool = True
    notes: list[str] = field(default_factory=list)


def parse_tile(text: str) -> int | str:
    """The ``--tile`` option: ``auto``, ``off``, ``edsr-chop`` or a number of input pixels."""
    if text in ("auto", "off", "edsr-chop"):
        return text
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise UserError(f"tile must be auto, off, edsr-chop or a positive number, not {text!r}")


def upscale_tensor(
    net: Upscaler,
    x: torch.Tensor,
    tile: int | str | None = "auto",
    overlap: int | None = None,
    self_ensemble: bool = False,
    memory_budget: int | None = None,
) -> torch.Tensor:
    """Apply a network to pictures of any size.

    Args:
        net: any callable with ``scale``, and ``receptive_radius`` where it is known;
            put it in eval mode first.
        x: (N, C, h, w) float, in the range the network takes, on the network's device.
        tile: ``'auto'`` takes the whole picture where it fits the memory, else tiles; a number is
            the side of the tiles in input pixels, overlap not counted; ``'edsr-chop'`` is the
            published chop; ``'off'`` or None is always the whole picture.
        overlap: pixels that a tile sees beyond its side. None takes the receptive radius, with
            which tiles equal the whole picture. Less, or a network without a finite radius,
            makes tiles that are blended and only resemble it; ``upscale_with_record`` says so.
        self_ensemble: average over the eight flips and transposes (EDSR+).
        memory_budget: bytes that input, output and work may take together; None takes a part of
            what is free.

    Returns:
        (N, C, h * scale, w * scale), unclamped, without gradients.

    Raises:
        UserError: a bad input or option, or not enough memory whatever the tiles.
    """
    return upscale_with_record(net, x, tile, overlap, self_ensemble, memory_budget)[0]


@torch.no_grad()
def upscale_with_record(
    net: Upscaler,
    x: torch.Tensor,
    tile: int | str | None = "auto",
    overlap: int | None = None,
    self_ensemble: bool = False,
    memory_budget: int | None = None,
) -> tuple[torch.Tensor, UpscaleRecord]:
    """:func:`upscale_tensor`, and how it was done."""
    check_input(x)
    if isinstance(tile, str) and tile not in ("auto", "off", "edsr-chop"):
        tile = parse_tile(tile)
    for name, value, least in (("tile", tile, 1), ("overlap", overlap, 0)):
        if isinstance(value, int) and value < least:
            raise UserError(f"{name} must be at least {least}, not {value}")
    if tile == "edsr-chop":
        return _chopped(net, x, self_ensemble)
    ensemble = SelfEnsemble(net) if self_ensemble else net
    reach = _overlap(net, overlap)
    if tile == "auto":
        tile = _tile_for(net, x, reach, memory_budget)
        side = "the whole picture" if tile is None else f"tiles of {tile} px"
        return _with_retries(ensemble, x, tile, reach, side)
    if tile in ("off", None):
        try:
            return forward(ensemble, x), UpscaleRecord()
        except Exception as error:
            if is_out_of_memory(error):
                raise UserError(_no_memory("the whole picture", x) + ": use tile='auto'") from error
            raise
    return _with_retries(ensemble, x, tile, reach, f"tiles of {tile} px")


def _overlap(net: Upscaler, overlap: int | None) -> int:
    if overlap is not None:
        return overlap
    radius = radius_of(net)
    return BLENDED_OVERLAP if radius is None else math.ceil(radius)


def _chopped(
    net: Upscaler, x: torch.Tensor, self_ensemble: bool
) -> tuple[torch.Tensor, UpscaleRecord]:
    def in_quadrants(view: torch.Tensor) -> torch.Tensor:
        return chop(lambda part: forward(net, part), view, net.scale)

    record = UpscaleRecord(mode="edsr-chop", exact=False)
    record.notes.append("the published chop: differs slightly from the whole picture")
    try:
        ensemble = SelfEnsemble(net, in_quadrants) if self_ensemble else in_quadrants
        return ensemble(x), record
    except Exception as error:
        if is_out_of_memory(error):
            raise UserError(_no_memory("edsr-chop", x) + ": use tile='auto'") from error
        raise


def _tile_for(
    net: Upscaler, x: torch.Tensor, overlap: int, memory_budget: int | None
) -> int | None:
    """The largest tile that the budget allows; None where the whole picture fits."""
    height, width = x.shape[2:]
    if memory_budget is None and height * width <= PROBE**2:
        return None
    budget = free_memory(x.device) if memory_budget is None else memory_budget
    # Input and output are there in any case, the output twice while tiles are put into it.
    fixed = x.numel() * x.element_size() * (1 + net.scale**2)
    try:
        each = bytes_per_pixel(net, x)
    except Exception as error:
        if is_out_of_memory(error):
            return SMALLEST_TILE
        raise
    affordable = (budget - fixed) / each
    if height * width <= affordable:
        return None

    def fits(tile: int) -> bool:
        return min(height, tile + 2 * overlap) * min(width, tile + 2 * overlap) <= affordable

    low, high = SMALLEST_TILE, max(height, width)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _with_retries(
    net: Upscaler, x: torch.Tensor, tile: int | None, overlap: int, wanted: str
) -> tuple[torch.Tensor, UpscaleRecord]:
    """Run with this tile, and with ever smaller ones for as long as memory runs out."""
    notes: list[str] = []
    while True:
        try:
            if tile is None or tile >= max(x.shape[2:]):
                return forward(net, x), UpscaleRecord(notes=notes)
            return _in_tiles(net, x, tile, overlap, notes)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if tile is not None and tile <= SMALLEST_TILE:
                raise UserError(
                    _no_memory(f"tiles of {tile} px (overlap {overlap})", x)
                    + ": close other programs, or use a smaller network or picture"
                ) from error
        # Only here is the failed attempt's memory free: the exception held it until now.
        if x.device.type == "cuda":
            torch.cuda.empty_cache()
        tile = max(SMALLEST_TILE, (max(x.shape[2:]) if tile is None else tile) // 2)
        notes[:] = [f"memory ran out with {wanted}: done in tiles of {tile} px instead"]


def _in_tiles(
    net: Upscaler, x: torch.Tensor, tile: int, overlap: int, notes: list[str]
) -> tuple[torch.Tensor, UpscaleRecord]:
    radius = radius_of(net)
    exact = radius is not None and overlap >= radius
    record = UpscaleRecord("tiles" if exact else "blended-tiles", tile, overlap, exact, [*notes])
    if not exact:
        why = (
            f"the network may look at the whole picture (overlap {overlap} px)"
            if radius is None
            else f"the overlap of {overlap} px is less than the receptive radius of {radius} px"
        )
        record.notes.append(f"tiles were blended and differ from the whole picture: {why}")
    y = upscale_in_tiles(lambda part: forward(net, part), x, net.scale, tile, overlap, not exact)
    return y, record


def _no_memory(what: str, x: torch.Tensor) -> str:
    return f"not enough memory on {x.device} for {what} ({x.shape[3]}x{x.shape[2]} px)"
