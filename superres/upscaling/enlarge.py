"""A network applied to a picture of any size, row band by row band, to any scale."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol as TypingProtocol

import numpy as np
import torch

from superres.errors import UserError
from superres.imaging.resize_torch import imresize_tensor
from superres.inference import Upscaler, upscale_with_record
from superres.inference.memory import PROBE, bytes_per_pixel, free_memory, is_out_of_memory
from superres.inference.upscale import SMALLEST_TILE
from superres.upscaling.axis import Axis, Window, check_scale, target_length
from superres.upscaling.channels import AnyChannels

CPU_BUDGET = 768 << 20
"""Bytes that tiles on a CPU may take unless told otherwise: enough that larger tiles would be no
faster, and the same on every machine."""
_QUANTISED = 64  # rows
_BAND_BYTES = 64 << 20  # of finished rows that wait for a row of tiles to be complete

Progress = Callable[[int, int], None]
"""Told (done, total) tiles of the current picture."""


class NotFinite(UserError):
    """The network gave numbers that are no pixels."""


class Rows(TypingProtocol):
    """A picture that is read by rows: an array is one, a file of rows too."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        """(rows, W, C)."""
        ...


class Enlarger:
    """A network, a scale, and how to go about it.

    Args:
        net: see :class:`~superres.inference.Upscaler`; what is computed with.
        scale: of the result; None is the network's own. Others are made by the network and then
            resized by MATLAB's bicubic, to exactly that size.
        in_channels: of ``net``: 1 or 3; see :func:`superres.upscaling.channels.channels_of`.
        device: where inputs go.
        tile, overlap, self_ensemble: as in :func:`superres.inference.upscale_tensor`.
        memory_budget: bytes for the network's work; None takes `CPU_BUDGET` or less on a CPU and
            most of what is free on a GPU.
    """

    def __init__(
        self,
        net: Upscaler,
        scale: float | None = None,
        in_channels: int = 3,
        device: torch.device | str = "cpu",
        tile: int | str | None = "auto",
        overlap: int | None = None,
        self_ensemble: bool = False,
        memory_budget: int | None = None,
    ) -> None:
        self.native = int(net.scale)
        self.scale = self.native if scale is None else check_scale(scale)
        self.device = torch.device(device)
        self.tile, self.overlap, self.self_ensemble = tile, overlap, self_ensemble
        if memory_budget is not None and (
            not isinstance(memory_budget, numbers.Real) or not memory_budget > 0
        ):
            raise UserError(
                f"memory_budget must be a positive number of bytes such as 2 << 30, not "
                f"{memory_budget!r}"
            )
        self.memory_budget = memory_budget
        self.notes: list[str] = []
        """What a person should know of the last picture; sentences."""
        self._net = AnyChannels(net, in_channels)
        self._cap: int | None = None  # the tile to which memory forced us, for the rest

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the result."""
        return target_length(height, self.scale), target_length(width, self.scale)

    @torch.no_grad()
    def tensor(self, x: torch.Tensor, size: tuple[int, int] | None = None) -> torch.Tensor:
        """(N, C, h, w) float in [0, 1], C = 1 to 4, to (N, C, H, W), unclamped."""
        size = size or self.size(*x.shape[2:])
        budget = self.memory_budget
        if budget is None and self._net.receptive_radius is not None:
            budget = self._budget() + 4 * x.numel() * (1 + self.native**2)
        y, record = upscale_with_record(
            _Reaching(self._net, x.shape[1]),
            x.to(self.device),
            self.tile,
            self.overlap,
            self.self_ensemble,
            budget,
        )
        self.notes = list(record.notes)
        return y if tuple(y.shape[2:]) == size else imresize_tensor(y.float(), size=size)

    def picture(self, picture: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """(h, w, C) uint8 or uint16 to (H, W, C) of the same type."""
        return np.concatenate(list(self.rows(picture, progress)))

    @torch.no_grad()
    def rows(
        self, picture: Rows, progress: Progress | None = None, size: tuple[int, int] | None = None
    ) -> Iterator[np.ndarray]:
        """The result of ``picture`` from top to bottom, in bands of (rows, W, C).

        Only one band and one tile's work are held at a time, unless the network sees the whole
        picture at once (`receptive_radius` None) or the tiles are to be inexact ones.

        Args:
            picture: (h, w, C) uint8 or uint16, C = 1 to 4.
            progress: told of finished tiles.
            size: (H, W) instead of what the scale gives.
        """
        self.notes = []
        height, width, channels = picture.shape
        size = size or self.size(height, width)
        reach = self._net.radius_for(channels)
        exact = reach is not None and (self.overlap is None or self.overlap >= reach)
        if self.tile in ("off", None, "edsr-chop") or not exact:
            y = self.tensor(self._load(picture[0:height]), size)
            yield _quantise(y, picture.dtype)
            if progress:
                progress(1, 1)
            return
        reach = reach if self.overlap is None else self.overlap
        down = Axis(height, self.native, size[0], reach)
        across = Axis(width, self.native, size[1], reach)
        row_size, column_size = self._tiles(picture, size, reach)
        bands, columns = down.windows(row_size), across.windows(column_size)
        done, total = 0, len(bands) * len(columns)
        for band in bands:
            source = picture[band.low : band.high]
            out: np.ndarray | None = None
            for column in columns:
                y = self._network(self._load(source[:, column.low : column.high]))
                y = across.resize(down.resize(y, band, 2), column, 3)
                part = _quantise(y, picture.dtype)
                if len(columns) == 1:
                    out = part
                else:
                    if out is None:
                        shape = (band.stop - band.start, size[1], part.shape[2])
                        out = np.empty(shape, part.dtype)
                    out[:, column.start : column.stop] = part
                done += 1
                if progress:
                    progress(done, total)
            yield out

    def _load(self, part: np.ndarray) -> torch.Tensor:
        """(h, w, C) integers to (1, C, h, w) in [0, 1]."""
        peak = float(np.iinfo(part.dtype).max)
        if part.dtype == np.uint16:
            part = part.astype(np.int32)
        # What Pillow and np.frombuffer give is often read-only, which PyTorch warns of.
        x = torch.from_numpy(np.require(part, requirements=("C", "W"))).to(self.device)
        return x.permute(2, 0, 1)[None].float().div_(peak)

    def _network(self, x: torch.Tensor) -> torch.Tensor:
        tile = self._cap or max(x.shape[2:])
        net = _Reaching(self._net, x.shape[1])
        y, record = upscale_with_record(net, x, tile, self.overlap, self.self_ensemble)
        if record.mode == "tiles":  # memory ran out, or did before
            self._cap = record.tile
        self.notes += [note for note in record.notes if note not in self.notes]
        return y

    def _budget(self) -> int:
        if self.memory_budget is not None:
            return self.memory_budget
        free = free_memory(self.device)
        return min(free, CPU_BUDGET) if self.device.type == "cpu" else free

    def _tiles(self, picture: Rows, size: tuple[int, int], reach: int) -> tuple[int, int]:
        """(rows, columns) of the tiles, input pixels without context, that waste least."""
        height, width, channels = picture.shape
        if isinstance(self.tile, int):
            if self.tile < 1:
                raise UserError(f"tile must be at least 1, not {self.tile}")
            return self.tile, self.tile
        if self.tile != "auto":
            raise UserError(
                f"tile must be auto, off, edsr-chop or a positive number, not {self.tile!r}"
            )
        if height * width <= PROBE**2:
            return height, width
        # The network's output is there twice, cut out and resized.
        each = self._appetite() + 8 * channels * self.native**2
        pixels = self._budget() / each
        # Rows of the output that wait until their band is complete.
        row_bytes = size[1] * channels * picture.dtype.itemsize * size[0] / height
        tallest = max(SMALLEST_TILE, int(_BAND_BYTES / row_bytes))
        best: tuple[float, int, int] | None = None
        for count in range(1, -(-width // SMALLEST_TILE) + 1):
            column = -(-width // count)
            seen = min(width, column + 2 * reach)
            rows = height if pixels >= seen * height else int(pixels / seen) - 2 * reach
            rows = min(rows, height, tallest if count > 1 or rows < height else height)
            if rows < min(SMALLEST_TILE, height):
                continue
            bands = -(-height // rows)
            cost = bands * min(height, rows + 2 * reach) * count * seen
            if best is None or cost < best[0]:
                best = (cost, rows, column)
        return best[1:] if best else (SMALLEST_TILE, SMALLEST_TILE)

    def _appetite(self) -> float:
        """Bytes that the network's work takes per input pixel."""
        net = self._net.net
        probe = torch.zeros(1, self._net.in_channels, PROBE, PROBE, device=self.device)
        measure = getattr(net, "bytes_per_pixel", partial(bytes_per_pixel, net))
        try:
            return measure(probe)
        except Exception as error:
            if is_out_of_memory(error):
                return math.inf
            raise


class _Reaching:
    """The network with the radius that a picture of so many channels needs."""

    def __init__(self, net: AnyChannels, channels: int) -> None:
        self.net, self.scale = net, net.scale
        self.receptive_radius = net.radius_for(channels)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def _quantise(y: torch.Tensor, dtype: np.dtype) -> np.ndarray:
    """(1, C, H, W) to (H, W, C) integers: clamped and rounded once.

    Raises:
        NotFinite: NaN or infinite values, of which integers would be any.
    """
    peak = float(np.iinfo(dtype).max)
    channels, height, width = y.shape[1:]
    out = np.empty((height, width, channels), dtype)
    # Some rows at a time: a float copy of all of them would be the largest thing in memory.
    for start in range(0, height, _QUANTISED):
        part = y[0, :, start : start + _QUANTISED].float()
        if not math.isfinite(part.sum()):
            raise NotFinite(
                "the network's output has NaN or infinite pixels: the weights are broken (a "
                "diverged training, or another numeric convention)"
            )
        part = part.clamp(0, 1).mul_(peak).round_()
        part = part.permute(1, 2, 0).to(torch.int32 if dtype == np.uint16 else torch.uint8)
        out[start : start + _QUANTISED] = part.cpu().numpy()
    return out


__all__ = ["CPU_BUDGET", "Enlarger", "NotFinite", "Progress", "Rows", "Window"]
