"""The data loader of training: workers, and batches in memory that is used again.

A tensor in a worker's shared memory costs the process that takes it a socket, a mapping and page
faults, about a millisecond a batch; fresh memory of its own a page fault every 4 kB, which takes
longer than filling it. So a loader has one piece of memory in slots, which its workers fill.
"""

from __future__ import annotations

import itertools
import math
import mmap
import multiprocessing
import os
import signal
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.stopping import STOPS

from .device_cache import CachedLoader
from .sampler import IterationSampler
from .transforms.views import apply_view, view_shape

cv2 = import_cv2()

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
                mixed = [f"{s[key].shape} {s[key].dtype}" for s in (sample, samples[0])]
                paths = [s["meta"].get("gt_path") for s in (sample, samples[0])]
                text = f"a batch mixes {mixed[0]} ({paths[0]}) with {mixed[1]} ({paths[1]}). Sizes"
                raise UserError(f"{text} are equal by PairedRandomCrop, types by dtype='uint8'")
            apply_view(image, view, out)
    return batch


_SLOT = 64 << 20  # of addresses; memory is taken by what is written
_ALIGNED = 64
_HEAD = 4096  # a byte for each slot: whether it is filled, or still looked at


class Ring:
    """:func:`collate` for one loader, into slots.

    A slot is filled again once no tensor of its last batch is left, so batches may be kept for as
    long as one likes; where no slot is free, or large enough, a batch lies in fresh memory.

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
        pixels = sum(samples[0][key].nbytes for key in ("inputs", "gt") if key in samples[0])
        if slot is None or len(samples) * pixels + 2 * _ALIGNED > _SLOT:
            return collate(samples)
        places: list[Place] = []
        memory, used = self._slot(slot), 0

        def allocate(shape: tuple[int, ...], dtype: np.dtype) -> torch.Tensor:
            nonlocal used
            places.append((used, shape, dtype.str))
            used += -(-math.prod(shape) * dtype.itemsize // _ALIGNED) * _ALIGNED
            return _tensor(memory, places[-1])

        batch = collate(samples, allocate)
        self._busy[slot] = 1
        meta = batch.pop("meta")
        content = slot, dict(zip(batch, places)), meta
        return _Filled(self.key, *content) if worker else self.take(*content)

    def _slot(self, slot: int) -> np.ndarray:
        return np.frombuffer(self._map, np.uint8, _SLOT, _HEAD + slot * _SLOT)

    def take(self, slot: int, placed: dict[str, Place], meta: list[Any]) -> dict[str, Any]:
        """The batch in a slot, which is free again when no tensor of it is left."""
        memory = self._slot(slot)
        # A tensor keeps this array alive for as long as anything shares the tensor's memory.
        weakref.finalize(memory, self._busy.__setitem__, slot, 0).atexit = False
        return {"meta": meta} | {key: _tensor(memory, place) for key, place in placed.items()}


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


def init_worker(_: int) -> None:
    """One thread each; signals, which reach a whole job, are the trainer's business."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for number in STOPS:
        signal.signal(number, _end_later if number == signal.SIGTERM else signal.SIG_IGN)
    # The trainer starts its workers with these held back.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    _end_with_the_trainer()


def _end_with_the_trainer() -> None:
    """Nothing of a killed trainer may stay.

    torch's workers watch their parent process for that, which under 'forkserver' is a server that
    lives for as long as they do.
    """
    trainer = multiprocessing.parent_process()
    if trainer is None or trainer.pid == os.getppid():
        return

    def watch() -> None:
        trainer.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _end_later(*_: object) -> None:
    """On SIGTERM the trainer wants to save first, and then ends its workers by itself.

    Not to react at all would let a process that leaves without closing its loader wait for ever.
    """
    if hasattr(signal, "setitimer"):  # not on Windows, where SIGTERM ends at once
        signal.setitimer(signal.ITIMER_REAL, 15)  # whose signal, not being handled, ends us


def shut_down(batches: Any) -> None:
    """End the workers of a loader's iterator now, not when the last reference to it goes.

    An exception keeps the iterator alive through its traceback.
    """
    getattr(batches, "_shutdown_workers", lambda: None)()  # what torch itself calls in __del__


def train_loader(
    dataset: Dataset,
    sampler: IterationSampler,
    num_workers: int = 0,
    start_method: str | None = None,
    prefetch_factor: int = 16,
    pin_memory: bool = False,
) -> DataLoader | CachedLoader:
    """Batches in the order of ``sampler``.

    Args:
        dataset: its samples end in ``PackInputs``. Where its cache is on the GPU, this process
            makes the batches there, and the other arguments play no part.
        sampler: also decides at which iteration to start.
        num_workers: processes that prepare batches; 0 does it in the training process.
        start_method: 'fork', 'spawn' or 'forkserver'; None is the system's own.
        prefetch_factor: batches in advance per worker.
        pin_memory: for transfers to a GPU.
    """
    parts = (getattr(dataset, "parts", None) or {None: dataset}).values()
    if any(getattr(part, "cache", None) == "gpu" for part in parts):
        return CachedLoader(dataset, sampler, torch.device("cuda", torch.cuda.current_device()))
    if start_method not in (None, "fork", "spawn", "forkserver"):
        what = f"train_dataloader.start_method = {start_method!r}"
        raise UserError(f"config: {what} must be 'fork', 'spawn' or 'forkserver'")
    # The first of these imports a module, and logs and swallows whatever is raised meanwhile:
    # also "worker died", if that happens so early. So it comes before there are workers.
    with torch.profiler.record_function("loader"):
        pass
    if not num_workers:
        return DataLoader(dataset, batch_sampler=sampler, collate_fn=Ring(), pin_memory=pin_memory)
    check_open_files(num_workers)
    at_once = max(1, min(8, prefetch_factor // 2))
    # Some slots more for those who keep some batches.
    tasks = _Tasks(dataset, sampler, at_once, Ring(num_workers, prefetch_factor + at_once + 4))
    with warnings.catch_warnings():  # advice, given twice, to have no more workers than cores
        warnings.filterwarnings("ignore", "This DataLoader will create")
        return _WorkerLoader(
            tasks,
            batch_sampler=tasks,
            collate_fn=list,
            num_workers=num_workers,
            worker_init_fn=init_worker,
            prefetch_factor=-(-prefetch_factor // at_once),
            multiprocessing_context=start_method,
            pin_memory=pin_memory,
        )


def check_open_files(workers: int) -> None:
    """A worker costs this process four open files; without, torch ends in tracebacks or waits.

    Raises:
        UserError: fewer are allowed.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed = len(os.listdir("/dev/fd")) + 4 * workers + 8
    if most != resource.RLIM_INFINITY and needed > most:
        text = f"num_workers = {workers} needs about {needed} open files, and {most} are allowed"
        raise UserError(f"{text}: raise this shell's limit (ulimit -n 4096) or lower num_workers")


class _Tasks(Dataset):
    """Some iterations at once, so that what a DataLoader does for a task counts once for them.

    To the DataLoader both the sampler, which names iterations, and the dataset, which makes their
    batches in a worker.
    """

    def __init__(self, dataset: Dataset, sampler: IterationSampler, at_once: int, ring: Ring):
        self.dataset, self.sampler, self.at_once, self.ring = dataset, sampler, at_once, ring

    def __iter__(self) -> Iterator[list[int]]:
        iterations = self.sampler.iterations()
        while numbers := list(itertools.islice(iterations, self.at_once)):
            yield numbers

    def __getitems__(self, iterations: list[int]) -> list[Any]:
        return [self.ring([self.dataset[k] for k in self.sampler.keys(i)]) for i in iterations]


class _WorkerLoader(DataLoader):
    """Gives the batches of its tasks, one by one."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        tasks = super().__iter__()
        batches = _Batches.from_iterable(tasks)
        batches._shutdown_workers = tasks._shutdown_workers
        return batches


class _Batches(itertools.chain):
    """With the attribute that :func:`shut_down` looks for."""
