"""The training set in the memory of the device: crops and views are gathered there.

The draws are made by the dataset's own pipeline, which runs over :class:`Window` objects instead
of pictures: places without pixels. So a batch is, bit for bit, what the ordinary loader gives for
the same iteration, and it costs two index computations and two gathers on the device.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superres.errors import UserError

from .sampler import IterationSampler, SampleKey, sample_generator
from .transforms.views import FLIP_HORIZONTAL, FLIP_VERTICAL, TRANSPOSE, view_shape

CACHES = ("cpu", "gpu", "device")
_HEADROOM = 0.9  # of what is free: the rest is for the network, or for the other processes


class Window:
    """A part of a picture in a :class:`Plane`, turned or not: where it lies, not what it shows.

    Pixel (i, j) is number ``first + i * down + j * right`` of the plane. It is cut and turned as
    an array would be.
    """

    __slots__ = ("down", "dtype", "first", "right", "shape")

    def __init__(
        self, first: int, down: int, right: int, shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        self.first, self.down, self.right = first, down, right
        self.shape, self.dtype = shape, dtype

    def __getitem__(self, key: tuple[slice, slice]) -> Window:
        (top, bottom, _), (left, right, _) = (k.indices(n) for k, n in zip(key, self.shape))
        shape = (bottom - top, right - left, self.shape[2])
        first = self.first + top * self.down + left * self.right
        return Window(first, self.down, self.right, shape, self.dtype)

    def through(self, view: int) -> Window:
        """Seen through one of the eight views."""
        first, down, right = self.first, self.down, self.right
        if view & FLIP_HORIZONTAL:
            first, right = first + (self.shape[1] - 1) * right, -right
        if view & FLIP_VERTICAL:
            first, down = first + (self.shape[0] - 1) * down, -down
        if view & TRANSPOSE:
            down, right = right, down
        return Window(first, down, right, view_shape(self.shape, view), self.dtype)


class Plane:
    """Pictures one after the other in one buffer (pixels, channels) on a device."""

    def __init__(self, sizes: list[int], channels: int, dtype: np.dtype, device: torch.device):
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        self.dtype, self.device = np.dtype(dtype), device
        # Gathers know no unsigned 16 bits; the bits are the same.
        kept = torch.uint8 if self.dtype == np.uint8 else torch.int16
        self.pixels = torch.empty((int(self.starts[-1]), channels), dtype=kept, device=device)

    def put(self, i: int, picture: np.ndarray) -> None:
        """Picture ``i``, of the size announced."""
        flat = np.array(picture).reshape(-1, picture.shape[2])  # a copy: the map is read-only
        if self.dtype != np.uint8:
            flat = flat.view(np.int16)
        self.pixels[int(self.starts[i]) : int(self.starts[i + 1])] = torch.from_numpy(flat)

    def gather(self, windows: list[Window]) -> torch.Tensor:
        """Windows of one shape: (N, h, w, C), on the device."""
        height, width, channels = windows[0].shape
        steps = torch.tensor([[[[w.first]], [[w.down]], [[w.right]]] for w in windows])
        if self.device.type == "cuda":
            steps = steps.pin_memory().to(self.device, non_blocking=True)
        rows = torch.arange(height, device=self.device)[:, None]
        columns = torch.arange(width, device=self.device)
        index = steps[:, 0] + rows * steps[:, 1] + columns * steps[:, 2]
        found = self.pixels.index_select(0, index.view(-1))
        found = found.view(len(windows), height, width, channels)
        return found if self.dtype == np.uint8 else found.view(torch.uint16)


class CachedLoader:
    """Batches as :func:`superres.datasets.loader.train_loader` gives them, from the device.

    Args:
        dataset: a :class:`PairedDataset`, or one per scale. Its pipeline only crops and turns.
        sampler: decides which samples, and where to start.
        device: where the pictures are kept and the batches made.

    Raises:
        UserError: the set does not fit, or the pipeline computes with pixels.
    """

    def __init__(self, dataset: Any, sampler: IterationSampler, device: torch.device) -> None:
        self.sampler, self.device = sampler, device
        self.parts: dict[int | None, Any] = getattr(dataset, "parts", None) or {None: dataset}
        for part in self.parts.values():
            for transform in part.pipeline.transforms:
                if not getattr(transform, "moves_only", False):
                    raise UserError(
                        f"{_key(part)}: {type(transform).__name__} computes with pixels, and the "
                        "cache only crops and turns them. Remove it from train_pipeline, or set "
                        "cache=None"
                    )
            if part.make_lq == "none":
                raise UserError(f"{_key(part)}: there is no lq to keep; set make_lq='auto'")
        self._check_room()
        self._gt: dict[Path, Plane] = {}
        self._lq: dict[int | None, Plane] = {}
        self._samples = {scale: self._fill(scale, part) for scale, part in self.parts.items()}

    def _check_room(self) -> None:
        gt = {part.gt.path: _bytes(part, "gt") for part in self.parts.values()}
        lq = [_bytes(part, "lq") for part in self.parts.values()]
        needed, free = sum(gt.values()) + sum(lq), free_memory(self.device)
        on_cpu = self.device.type == "cpu"
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if on_cpu else 1
        if free is not None and needed * processes > _HEADROOM * free:
            times = f" in each of {processes} processes" if processes > 1 else ""
            raise UserError(
                f"{_key(next(iter(self.parts.values())))}: the training set takes {_gib(needed)}"
                f"{times} ({_gib(sum(gt.values()))} of it ground truth), and {self.device} has "
                f"{_gib(free)} free, of which {_HEADROOM:.0%} may be used. Set cache="
                + ("None" if on_cpu else "'cpu' or None, or give the run more memory")
            )

    def _fill(self, scale: int | None, part: Any) -> list[dict[str, Any]]:
        """Copy a part's pictures; gives the part's samples with windows for pictures."""
        gt, new = self._gt.get(part.gt.path), part.gt.path not in self._gt
        lq = None
        samples = []
        for i in range(len(part)):
            low, high = part.load(i)
            low = np.asarray(low)
            if lq is None:
                lq = self._lq[scale] = _plane(part, "lq", low, self.device)
            if gt is None:
                gt = self._gt[part.gt.path] = _plane(part, "gt", high, self.device)
            for plane, picture in ((lq, low), (gt, high)):
                if picture.dtype != plane.dtype:
                    raise UserError(
                        f"{_key(part)}: {part.gt.name_at(i)} has {picture.dtype} samples, others "
                        f"{plane.dtype}; with dtype='uint8' they are alike"
                    )
            lq.put(i, low)
            full = part.gt.shape_at(i)
            if new:
                gt.put(i, high if high.shape == full else part.gt.read_at(i))
            windows = (
                Window(int(lq.starts[i]), low.shape[1], 1, low.shape, low.dtype),
                Window(int(gt.starts[i]), full[1], 1, high.shape, high.dtype),
            )
            samples.append(part.describe(i, *windows))
        return samples

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for keys in self.sampler:
            yield self.batch(keys)

    def batch(self, keys: list[SampleKey]) -> dict[str, Any]:
        """``inputs`` and ``gt`` (N, H, W, C) of these samples, on the device, and ``meta``."""
        scale = keys[0].scale if keys[0].scale in self.parts else next(iter(self.parts))
        part, described = self.parts[scale], self._samples[scale]
        packed = []
        for index, draw, _ in keys:
            sample = described[index].copy()
            sample["draw"], sample["rng"] = draw, sample_generator(part.seed, draw)
            packed.append(part.pipeline(sample))
        batch: dict[str, Any] = {"meta": [p["meta"] for p in packed]}
        for key, plane in (("inputs", self._lq[scale]), ("gt", self._gt[part.gt.path])):
            windows = [p[key].through(p["view"]) for p in packed]
            if len({w.shape for w in windows}) > 1:
                raise UserError(
                    f"{_key(part)}: a batch mixes pictures of different sizes; put a "
                    "PairedRandomCrop into train_pipeline"
                )
            batch[key] = plane.gather(windows)
        return batch


def wanted_cache(dataset: Any) -> str | None:
    """What the dataset, or the datasets it consists of, ask for."""
    parts = (getattr(dataset, "parts", None) or {None: dataset}).values()
    return next((part.cache for part in parts if getattr(part, "cache", None)), None)


def cache_device(cache: str) -> torch.device:
    """'cpu', 'gpu' (this process's), or 'device': the GPU if there is one.

    Raises:
        UserError: another word, or 'gpu' where there is none.
    """
    if cache not in CACHES:
        raise UserError(
            f"config: train_dataloader.dataset.cache = {cache!r} must be one of "
            f"{', '.join(map(repr, CACHES))}, or None"
        )
    there = torch.cuda.is_available()
    if cache == "gpu" and not there:
        raise UserError(
            "config: train_dataloader.dataset.cache = 'gpu', but torch finds no GPU. 'device' is "
            "the GPU where there is one and the CPU elsewhere"
        )
    if cache == "cpu" or not there:
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if found is None else int(found) * 1024


def _shape(part: Any, side: str, i: int) -> tuple[int, ...]:
    """The shape of a picture, without reading it."""
    return part.gt.shape_at(i) if side == "gt" else part.lq_shape(i)


def _bytes(part: Any, side: str) -> int:
    size = sum(int(np.prod(_shape(part, side, i))) for i in range(len(part)))
    return size * part.load(0)[1].dtype.itemsize


def _plane(part: Any, side: str, picture: np.ndarray, device: torch.device) -> Plane:
    shapes = [_shape(part, side, i) for i in range(len(part))]
    return Plane([h * w for h, w, _ in shapes], picture.shape[2], picture.dtype, device)


def _key(part: Any) -> str:
    return f"config: train_dataloader.dataset.cache = {part.cache!r}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
