"""The training set in the memory of the device: crops and views are gathered there.

The draws are made by the dataset's own pipeline, which runs over :class:`Window` objects instead
of pictures: places without pixels. So a batch is, bit for bit, what the ordinary loader gives for
the same iteration, and it costs two index computations and two gathers on the device.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superres.errors import UserError
from superres.inference.memory import available

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

    def __init__(self, shapes: list[tuple[int, ...]], dtype: Any, device: torch.device) -> None:
        self.starts = np.cumsum([0, *(height * width for height, width, _ in shapes)])
        self.dtype, self.device = np.dtype(dtype), device
        # Gathers know no unsigned 16 bits; the bits are the same.
        kept = torch.uint8 if self.dtype == np.uint8 else torch.int16
        self.pixels = torch.empty((int(self.starts[-1]), shapes[0][2]), dtype=kept, device=device)

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
        first = next(iter(self.parts.values()))
        samples, gt = 0, set()
        for part in self.parts.values():
            low, high = _shapes(part)
            samples += sum(map(math.prod, low if part.gt.path in gt else [*low, *high]))
            gt.add(part.gt.path)
        needed = samples * first.load(0)[1].dtype.itemsize
        on_cpu = self.device.type == "cpu"
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if on_cpu else 1
        free = available(self.device)
        if free is not None and needed * processes > _HEADROOM * free:
            times = f" in each of {processes} processes" if processes > 1 else ""
            raise UserError(
                f"{_key(first)}: the training set takes {needed / 2**30:.2f} GiB{times}, and "
                f"{self.device} has {free / 2**30:.2f} GiB free, of which {_HEADROOM:.0%} may be "
                "used. Set cache="
                + ("None" if on_cpu else "'cpu' or None, or give the run more memory")
            )

    def _fill(self, scale: int | None, part: Any) -> list[dict[str, Any]]:
        """Copy a part's pictures; gives the part's samples with windows for pictures."""
        new = part.gt.path not in self._gt
        for kept, key, shapes, picture in zip(
            (self._lq, self._gt), (scale, part.gt.path), _shapes(part), part.load(0)
        ):
            if key not in kept:
                kept[key] = Plane(shapes, picture.dtype, self.device)
        lq, gt = self._lq[scale], self._gt[part.gt.path]
        samples = []
        for i in range(len(part)):
            low, high = map(np.asarray, part.load(i))
            if (low.dtype, high.dtype) != (lq.dtype, gt.dtype):
                raise UserError(
                    f"{_key(part)}: {part.gt.name_at(i)} has {high.dtype} samples, others "
                    f"{gt.dtype}; with dtype='uint8' they are alike"
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


def _shapes(part: Any) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The shapes of all pictures, low-quality ones and ground truths, without reading them."""
    numbers = range(len(part))
    return [part.lq_shape(i) for i in numbers], [part.gt.shape_at(i) for i in numbers]


def _key(part: Any) -> str:
    return f"config: train_dataloader.dataset.cache = {part.cache!r}"
