"""The training set in the memory of the device: crops and views are gathered there.

The draws are made by the dataset's own pipeline, which runs over :class:`Window` objects instead
of images: places without pixels. So a batch is, bit for bit, what the ordinary loader makes for
the same iteration, and it costs two index computations and two gathers on the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superres.errors import UserError
from superres.inference.memory import available

from .joined import places
from .sampler import IterationSampler, SampleKey, sample_generator
from .transforms.views import FLIP_HORIZONTAL, FLIP_VERTICAL, TRANSPOSE, view_shape

_HEADROOM = 0.9  # of what is free: the rest is for the network, or for the other processes
CACHE_KEY = "config: train_dataloader.dataset.cache"


@dataclass(slots=True)
class Window:
    """A part of an image in a :class:`Plane`, turned or not: where it lies, not what it shows.

    Pixel (i, j) is number ``first + i * down + j * right`` of the plane. It is cut and turned as
    an array would be.
    """

    first: int
    down: int
    right: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def __getitem__(self, key: tuple[slice, slice]) -> Window:
        (top, bottom, _), (left, right, _) = (k.indices(n) for k, n in zip(key, self.shape))
        first = self.first + top * self.down + left * self.right
        return replace(self, first=first, shape=(bottom - top, right - left, self.shape[2]))

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
    """Images one after the other in one buffer (pixels, channels) on a device.

    Args:
        shapes: of the images.
        dtype: uint8 or uint16.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], dtype: Any, device: torch.device) -> None:
        self.shapes, self.dtype, self.device = shapes, np.dtype(dtype), device
        self.starts = np.cumsum([0, *(height * width for height, width, _ in shapes)]).tolist()
        self.bytes = self.starts[-1] * shapes[0][2] * self.dtype.itemsize
        self.pixels: torch.Tensor | None = None  # taken with the first image

    def put(self, i: int, image: np.ndarray) -> None:
        """Copy image ``i``, of the size announced."""
        if self.pixels is None:
            # Gathers know no unsigned 16 bits; the bits are the same.
            kept = torch.uint8 if self.dtype == np.uint8 else torch.int16
            size = self.starts[-1], image.shape[2]
            self.pixels = torch.empty(size, dtype=kept, device=self.device)
        flat = np.array(image).reshape(-1, image.shape[2])  # a copy: the map is read-only
        flat = flat if self.dtype == np.uint8 else flat.view(np.int16)
        self.pixels[self.starts[i] : self.starts[i + 1]] = torch.from_numpy(flat)

    def window(self, i: int, shape: tuple[int, ...]) -> Window:
        """The place of image ``i``, or of its upper left part of that shape."""
        return Window(self.starts[i], self.shapes[i][1], 1, shape, self.dtype)

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
    """Batches as :func:`superres.datasets.loader.train_loader` makes them, from the device.

    Args:
        dataset: a :class:`PairedDataset`, or one per scale. Its pipeline only crops and turns.
        sampler: decides which samples, and where to start.
        device: where the images are kept and the batches made.

    Raises:
        UserError: the set does not fit, or the pipeline computes with pixels.
    """

    def __init__(self, dataset: Any, sampler: IterationSampler, device: torch.device) -> None:
        self.sampler, self.device = sampler, device
        self.parts: dict[int | None, Any] = getattr(dataset, "parts", None) or {None: dataset}
        for part in self.parts.values():
            steps = part.pipeline.transforms
            wrong = [type(t).__name__ for t in steps if not getattr(t, "moves_only", False)]
            if wrong or part.make_lq == "none":
                what = f"{wrong[0]} computes with pixels" if wrong else "make_lq is 'none'"
                text = f"{CACHE_KEY}: {what}, and a cache on the GPU only crops and turns images"
                raise UserError(f"{text}. Remove it, or set cache='cpu' or 'disk'")
        self._gt: dict[Path, Plane] = {}
        self._lq: dict[int | None, Plane] = {}
        for scale, part in self.parts.items():
            low, high = zip(*((one.lq_shape(i), one.gt.shape_at(i)) for one, i in places(part)))
            lq, gt = places(part)[0][0].load(0)
            self._lq[scale] = Plane(low, lq.dtype, device)
            self._gt.setdefault(part.gt.path, Plane(high, gt.dtype, device))
        needed = sum(plane.bytes for plane in [*self._lq.values(), *self._gt.values()])
        if needed > (most := _HEADROOM * available(device)):
            text = f"{CACHE_KEY}: the training set takes {needed / 2**30:.2f} GiB, of the"
            text += f" {most / 2**30:.2f} GiB of {device}'s memory that may be used"
            raise UserError(f"{text}. Set cache='cpu', 'disk' or None")
        self._samples = {scale: self._fill(scale, part) for scale, part in self.parts.items()}

    def _fill(self, scale: int | None, part: Any) -> list[dict[str, Any]]:
        """Copy a part's images; returns the part's samples with windows for images."""
        lq, gt = self._lq[scale], self._gt[part.gt.path]
        new = gt.pixels is None
        samples = []
        for i, (one, number) in enumerate(places(part)):
            small, large = map(np.asarray, one.load(number))
            if (small.dtype, large.dtype) != (lq.dtype, gt.dtype):
                what = f"{one.gt.name_at(number)} has {large.dtype} samples, others {gt.dtype}"
                raise UserError(f"{CACHE_KEY}: {what}; with dtype='uint8' they are alike")
            lq.put(i, small)
            if new:
                gt.put(i, large if large.shape == gt.shapes[i] else one.gt.read_at(number))
            windows = lq.window(i, small.shape), gt.window(i, large.shape)
            samples.append(one.describe(number, *windows))
        return samples

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self.batch, self.sampler)

    def batch(self, keys: list[SampleKey]) -> dict[str, Any]:
        """``inputs`` and ``gt`` (N, H, W, C) of these samples, on the device, and ``meta``."""
        scale = keys[0].scale if keys[0].scale in self.parts else next(iter(self.parts))
        part, described = self.parts[scale], self._samples[scale]
        packed = []
        for index, draw, _ in keys:
            drawn = {"draw": draw, "rng": sample_generator(part.seed, draw)}
            packed.append(part.pipeline(described[index] | drawn))
        batch: dict[str, Any] = {"meta": [p["meta"] for p in packed]}
        for key, plane in (("inputs", self._lq[scale]), ("gt", self._gt[part.gt.path])):
            windows = [p[key].through(p["view"]) for p in packed]
            if len({w.shape for w in windows}) > 1:
                text = f"{CACHE_KEY}: a batch mixes images of different sizes"
                raise UserError(f"{text}; put a PairedRandomCrop into train_pipeline")
            batch[key] = plane.gather(windows)
        return batch


def resolved_cache(cache: str | None) -> str | None:
    """'disk', 'cpu', 'gpu' or None; 'device' is one of the latter two.

    Raises:
        UserError: another word, or 'gpu' where there is no GPU.
    """
    there = torch.cuda.is_available()
    if cache == "gpu" and not there:
        raise UserError(f"{CACHE_KEY} = 'gpu': torch finds no GPU; 'cpu' keeps them in memory")
    if cache not in (None, "disk", "cpu", "gpu", "device"):
        words = "'disk', 'cpu', 'gpu', None, or 'device', the GPU where there is one, else the CPU"
        raise UserError(f"{CACHE_KEY} = {cache!r} must be one of {words}")
    return ("gpu" if there else "cpu") if cache == "device" else cache
