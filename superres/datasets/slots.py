"""Batches that workers hand over in memory that is used again.

A tensor in a worker's shared memory costs the process that takes it a socket, a mapping and page
faults: about a millisecond a batch. Here the taking process owns a few slots of memory, tells a
worker with each task which slot to fill, and maps each slot once. The memory is a memfd: it is
not limited by the size of /dev/shm and goes with the last process that has it, however that ends.
"""

from __future__ import annotations

import itertools
import math
import mmap
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

Allocate = Callable[[tuple[int, ...], np.dtype], torch.Tensor]
_ALIGNED = 64


class SlotName(NamedTuple):
    """What a worker has to know of a slot."""

    number: int
    path: str
    size: int


class Made(NamedTuple):
    """A batch on its way from a worker, its pixels in a slot or in memory of the worker's own."""

    ring: int
    slot: SlotName | None
    layout: dict[str, tuple[int, int, tuple[int, ...], str]]
    """Of what is in the slot: key -> first and last byte, shape, type."""
    rest: dict[str, Any]

    def pin_memory(self) -> dict[str, Any]:
        """A copy in pinned memory, after which the slot is free (called by torch's DataLoader)."""
        return {
            key: value.pin_memory() if isinstance(value, torch.Tensor) else value
            for key, value in _RINGS[self.ring].take(self).items()
        }


class _Slot:
    def __init__(self, size: int) -> None:
        self.fd = os.memfd_create("superres-batch")
        os.ftruncate(self.fd, size)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        self.size = size
        self.memory = np.frombuffer(mmap.mmap(self.fd, size), np.uint8)
        self.away = False  # with a worker, or on its way back

    def close(self) -> None:
        os.close(self.fd)  # the mapping lives for as long as a batch refers to it


def _references(slot: _Slot) -> int:
    return sys.getrefcount(slot.memory)


class SlotRing:
    """The slots of one loader, in the process that takes the batches.

    A slot is given out again only when no tensor of its last batch is left, so batches may be
    kept for as long as one likes; there are ``most`` slots, beyond which workers use memory of
    their own.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.slots: dict[int, _Slot] = {}
        self._size = 0  # of the largest batch seen
        self._numbers = itertools.count()
        self.key = next(_KEYS)
        _RINGS[self.key] = self
        self._unused: int | None = None

    def offer(self) -> SlotName | None:
        """A slot that can be filled; None where there is none yet, or no more."""
        if not self._size:
            return None
        for number, slot in list(self.slots.items()):
            if slot.away or _references(slot) != self._unused:
                continue
            if slot.size < self._size:  # of a batch at a smaller scale
                self.slots.pop(number).close()
                continue
            return self._give(number, slot)
        if len(self.slots) >= self.most:
            return None
        try:
            slot = _Slot(self._size)
        except OSError:  # no more memory or files: workers use their own
            self.most = len(self.slots)
            return None
        self._unused = _references(slot)
        number = next(self._numbers)
        self.slots[number] = slot
        return self._give(number, slot)

    def _give(self, number: int, slot: _Slot) -> SlotName:
        slot.away = True
        return SlotName(number, slot.path, slot.size)

    def take(self, made: Made) -> dict[str, Any]:
        """The batch as a worker made it."""
        batch = dict(made.rest)
        slot = self.slots[made.slot.number] if made.slot else None
        for key, (first, last, shape, dtype) in made.layout.items():
            pixels = slot.memory[first:last]
            pixels = (pixels if dtype == "|u1" else pixels.view(dtype)).reshape(shape)
            batch[key] = torch.from_numpy(pixels)
        if slot is not None:
            slot.away = False
        if not made.layout:  # there was no slot, or a smaller one
            tensors = [value for value in batch.values() if isinstance(value, torch.Tensor)]
            self._size = max(self._size, sum(_room(t.nbytes) for t in tensors))
        return batch

    def close(self) -> None:
        """Give back what no batch refers to."""
        while self.slots:
            self.slots.popitem()[1].close()
        self.most = 0


_RINGS: weakref.WeakValueDictionary[int, SlotRing] = weakref.WeakValueDictionary()
_KEYS = itertools.count()


def _room(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


class SlotFiller:
    """In a worker: makes a batch in the slot that it was told to use.

    Args:
        ring: the key of the ring that the slots are of.
        collate: ``collate(samples, allocate)`` gives the batch in memory that it allocates.
        fresh: allocates where there is no slot.
    """

    def __init__(self, ring: int, collate: Callable[..., dict[str, Any]], fresh: Allocate) -> None:
        self.ring, self.collate, self.fresh = ring, collate, fresh
        self._mapped: dict[int, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": {}}

    def __call__(self, task: tuple[SlotName | None, list[Any]]) -> Made:
        """The batch of (slot, samples)."""
        slot, samples = task
        memory = self._memory(slot) if slot is not None else None
        if memory is None:
            return Made(self.ring, slot, {}, self.collate(samples, self.fresh))
        layout: list[tuple[int, int, tuple[int, ...], str]] = []
        used = 0

        def allocate(shape: tuple[int, ...], dtype: np.dtype) -> torch.Tensor:
            nonlocal used
            size = math.prod(shape) * dtype.itemsize
            if used + size > len(memory):
                raise _TooSmall
            layout.append((used, used + size, shape, dtype.str))
            pixels = memory[used : used + size].view(dtype).reshape(shape)
            used += _room(size)
            return torch.from_numpy(pixels)

        try:
            batch = self.collate(samples, allocate)
        except _TooSmall:
            return Made(self.ring, slot, {}, self.collate(samples, self.fresh))
        keys = [key for key, value in batch.items() if isinstance(value, torch.Tensor)]
        rest = {key: value for key, value in batch.items() if key not in keys}
        return Made(self.ring, slot, dict(zip(keys, layout)), rest)

    def _memory(self, slot: SlotName) -> np.ndarray | None:
        if slot.number not in self._mapped:
            try:
                fd = os.open(slot.path, os.O_RDWR)
                try:
                    self._mapped[slot.number] = np.frombuffer(mmap.mmap(fd, slot.size), np.uint8)
                finally:
                    os.close(fd)
            except OSError:  # e.g. a /proc that hides other processes
                return None
        return self._mapped[slot.number]


class _TooSmall(Exception):
    pass


def available() -> bool:
    """Whether the system has what slots are made of (Linux)."""
    return hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd")
