"""From samples to batches, in memory that is used again.

A tensor in a worker's shared memory costs the process that takes it a socket, a mapping and page
faults, about a millisecond a batch; fresh memory of its own a page fault every 4 kB, which takes
longer than filling it. So a loader has one piece of memory in slots, which its workers fill.
"""

from __future__ import annotations

import itertools
import math
import mmap
import os
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from superres.errors import UserError

from .transforms.views import apply_view, view_shape

Allocate = Callable[[tuple[int, ...], np.dtype], torch.Tensor]
Place = tuple[int, tuple[int, ...], str]
"""First byte in a slot, shape and type of what lies there."""


def fresh(shape: tuple[int, ...], dtype: np.dtype) -> torch.Tensor:
    """A new tensor; in a worker in shared memory, so that handing it over copies nothing."""
    tensor = torch.from_numpy(np.empty(shape, dtype))
    return tensor if get_worker_info() is None else tensor.share_memory_()


def collate(samples: list[dict[str, Any]], allocate: Allocate = fresh) -> dict[str, Any]:
    """Packed samples to one batch: ``inputs`` and ``gt`` (N, H, W, C) and the list ``meta``.

    Each image is flipped or transposed on its way into the batch, so its pixels are moved once.

    Args:
        samples: what ``PackInputs`` gives.
        allocate: makes the tensor of a shape and type that is filled.

    Raises:
        UserError: images of different sizes or types in one batch.
    """
    batch: dict[str, Any] = {"meta": [s["meta"] for s in samples]}
    for key in ("inputs", "gt"):
        if key not in samples[0]:
            continue
        first = samples[0][key]
        shape, dtype = view_shape(first.shape, samples[0]["view"]), first.dtype
        batch[key] = allocate((len(samples), *shape), dtype)
        for sample, out in zip(samples, batch[key].numpy()):
            image, view = sample[key], sample["view"]
            if view_shape(image.shape, view) != shape or image.dtype != dtype:
                raise UserError(
                    f"a batch mixes {image.shape} {image.dtype} "
                    f"({sample['meta'].get('gt_path')}) with {first.shape} {first.dtype} "
                    f"({samples[0]['meta'].get('gt_path')}). A PairedRandomCrop in the pipeline "
                    "gives equal sizes; dtype='uint8' in the dataset gives equal types"
                )
            apply_view(image, view, out)
    return batch


_SLOT = 64 << 20  # of addresses; memory is taken by what is written
_HEAD = 4096  # a byte for each slot: whether it is filled, or still looked at


class Ring:
    """:func:`collate` for one loader, into slots.

    A slot is filled again once no tensor of its last batch is left, so batches may be kept for as
    long as one likes; whoever finds no slot free, or none large enough, takes fresh memory.

    The memory is a memfd: unlike /dev/shm it has no limit of its own, and it goes with the last
    process that has it, however that ends. Where there is none, all memory is fresh.

    Args:
        workers: processes that fill slots; 0: the one that takes the batches.
        each: slots of each of them.
    """

    def __init__(self, workers: int = 0, each: int = 8) -> None:
        self.each = min(each, _HEAD // max(1, workers))
        self.key, self._path = next(_KEYS), ""
        self._map: mmap.mmap | None = None
        try:
            fd = os.memfd_create("superres-batches")
            weakref.finalize(self, os.close, fd)
            self._size = _HEAD + max(1, workers) * each * _SLOT
            os.ftruncate(fd, self._size)
            self._path = f"/proc/{os.getpid()}/fd/{fd}"
            self._attach(fd)
        except (AttributeError, OSError):  # not Linux; a limit on the size of files
            self.each = 0
        _RINGS[self.key] = self

    def _attach(self, fd: int) -> None:
        self._map = mmap.mmap(fd, self._size)
        self._busy = np.frombuffer(self._map, np.uint8, _HEAD)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_map", "_busy")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        try:
            fd = os.open(self._path, os.O_RDWR)
        except OSError:  # a /proc that hides other processes
            self.each = 0
            return
        self._attach(fd)
        os.close(fd)

    def __call__(self, samples: list[dict[str, Any]]) -> Any:
        """The batch; in a worker as something that becomes the batch where it is taken."""
        worker = get_worker_info()
        mine = self.each * (worker.id if worker else 0)
        slot = next((s for s in range(mine, mine + self.each) if not self._busy[s]), None)
        if slot is None:
            return collate(samples)
        places: list[Place | None] = []
        memory, used = self._slot(slot), 0

        def allocate(shape: tuple[int, ...], dtype: np.dtype) -> torch.Tensor:
            nonlocal used
            size = math.prod(shape) * dtype.itemsize
            if used + size > _SLOT:
                places.append(None)
                return fresh(shape, dtype)
            places.append((used, shape, dtype.str))
            used += -(-size // 64) * 64  # aligned
            return _tensor(memory, places[-1])

        batch = collate(samples, allocate)
        self._busy[slot] = 1
        keys = [key for key, value in batch.items() if isinstance(value, torch.Tensor)]
        placed = {key: place for key, place in zip(keys, places) if place}
        rest = {key: value for key, value in batch.items() if key not in placed}
        return _Filled(self.key, slot, placed, rest) if worker else self.take(slot, placed, rest)

    def _slot(self, slot: int) -> np.ndarray:
        return np.frombuffer(self._map, np.uint8, _SLOT, _HEAD + slot * _SLOT)

    def take(self, slot: int, placed: dict[str, Place], rest: dict[str, Any]) -> dict[str, Any]:
        """The batch in a slot, which is free again when no tensor of it is left."""
        memory = self._slot(slot)
        # A tensor keeps this array alive for as long as anything shares the tensor's memory.
        weakref.finalize(memory, self._busy.__setitem__, slot, 0).atexit = False
        return rest | {key: _tensor(memory, place) for key, place in placed.items()}


class _Filled:
    """A filled slot on its way from a worker; unpickled it is the batch."""

    def __init__(self, *content: Any) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Any, ...]:
        return _take, self.content


def _take(key: int, *content: Any) -> dict[str, Any]:
    return _RINGS[key].take(*content)


_RINGS: weakref.WeakValueDictionary[int, Ring] = weakref.WeakValueDictionary()
_KEYS = itertools.count()


def _tensor(memory: np.ndarray, place: Place) -> torch.Tensor:
    first, shape, dtype = place
    return torch.from_numpy(np.ndarray(shape, dtype, memory, first))
