"""From a dataset to batches: collation and the data loaders of training and testing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.stopping import STOPS

from .device_cache import CachedLoader, cache_device, wanted_cache
from .sampler import IterationSampler
from .slots import Made, SlotFiller, SlotName, SlotRing, available
from .transforms.views import apply_view, view_shape

cv2 = import_cv2()


def collate(
    samples: list[dict[str, Any]],
    allocate: Callable[[tuple[int, ...], np.dtype], torch.Tensor] | None = None,
) -> dict[str, Any]:
    """Packed samples to one batch: ``inputs`` and ``gt`` (N, H, W, C) and the list ``meta``.

    Each picture is flipped or transposed on its way into the batch, so its pixels are moved once.

    Args:
        samples: what ``PackInputs`` gives.
        allocate: makes the tensor of a shape and type that is filled; default: fresh memory.

    Raises:
        UserError: pictures of different sizes or types in one batch.
    """
    allocate = allocate or fresh
    batch: dict[str, Any] = {"meta": [s["meta"] for s in samples]}
    for key in ("inputs", "gt"):
        if key not in samples[0]:
            continue
        first = samples[0][key]
        shape, dtype = view_shape(first.shape, samples[0]["view"]), first.dtype
        batch[key] = allocate((len(samples), *shape), dtype)
        for sample, out in zip(samples, batch[key].numpy()):
            picture, view = sample[key], sample["view"]
            if view_shape(picture.shape, view) != shape or picture.dtype != dtype:
                raise UserError(
                    f"a batch mixes {picture.shape} {picture.dtype} "
                    f"({sample['meta'].get('gt_path')}) with {first.shape} {first.dtype} "
                    f"({samples[0]['meta'].get('gt_path')}). A PairedRandomCrop in the pipeline "
                    "gives equal sizes; dtype='uint8' in the dataset gives equal types"
                )
            apply_view(picture, view, out)
    return batch


def fresh(shape: tuple[int, ...], dtype: np.dtype) -> torch.Tensor:
    """A new tensor; in a worker in shared memory, so that handing it over copies nothing."""
    if get_worker_info() is None:
        return torch.from_numpy(np.empty(shape, dtype))
    return torch.empty(shape, dtype=torch.from_numpy(np.empty(0, dtype)).dtype).share_memory_()


class Collate:
    """:func:`collate` for one thread, into memory that is used again.

    Fresh memory costs a page fault every 4 kB, which takes longer than filling it. So the memory
    of a batch is kept, and filled anew once nothing refers to that batch any more.
    """

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []

    def __call__(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        return collate(samples, fresh if get_worker_info() is not None else self._allocate)

    def __getstate__(self) -> dict[str, Any]:
        return {"_kept": []}

    def _allocate(self, shape: tuple[int, ...], dtype: np.dtype) -> torch.Tensor:
        kept = self._kept
        for i in range(len(kept)):
            # A tensor keeps its array alive for as long as anything shares the tensor's memory.
            if (
                _references(kept, i) == _UNUSED
                and kept[i].shape == shape
                and kept[i].dtype == dtype
            ):
                return torch.from_numpy(kept[i])
        if len(kept) == _MOST_KEPT:
            del kept[0]
        kept.append(np.empty(shape, dtype))
        return torch.from_numpy(kept[-1])


_MOST_KEPT = 8  # two batches at a time, of two pictures each, and room for other sizes


def _references(arrays: list[np.ndarray], i: int) -> int:
    return sys.getrefcount(arrays[i])


_UNUSED = _references([np.empty(1)], 0)  # what an array counts that only its list refers to


def init_worker(_: int) -> None:
    """One thread each; signals, which reach a whole job, are the trainer's business."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for number in STOPS:
        signal.signal(number, _end_later if number == signal.SIGTERM else signal.SIG_IGN)
    # The trainer starts its workers with these held back.
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
    signal.setitimer(signal.ITIMER_REAL, 15)  # whose signal, not being handled, ends us


def shut_down(batches: Any) -> None:
    """End the workers of a loader's iterator now, not when the last reference to it goes.

    An exception keeps the iterator alive through its traceback.
    """
    end = getattr(batches, "_shutdown_workers", None)  # what torch itself calls in __del__
    if end is not None:
        end()


def train_loader(
    dataset: Dataset,
    sampler: IterationSampler,
    num_workers: int = 0,
    start_method: str | None = None,
    prefetch_factor: int = 16,
    pin_memory: bool = False,
) -> DataLoader | CachedLoader | WorkerLoader:
    """Batches in the order of ``sampler``.

    Args:
        dataset: its samples end in ``PackInputs``. Where it asks for a cache, the batches are made
            by this process on the cache's device, and the other arguments play no part.
        sampler: also decides at which iteration to start.
        num_workers: processes that prepare batches; 0 does it in the training process.
        start_method: 'fork', 'spawn' or 'forkserver'; None is the system's own.
        prefetch_factor: batches in advance per worker.
        pin_memory: for transfers to a GPU.
    """
    cache = wanted_cache(dataset)
    if cache is not None:
        return CachedLoader(dataset, sampler, cache_device(cache))
    if start_method not in (None, "fork", "spawn", "forkserver"):
        raise UserError(
            f"config: train_dataloader.start_method = {start_method!r} must be 'fork', 'spawn' or "
            "'forkserver'"
        )
    options: dict[str, Any] = {}
    if num_workers:
        options = {
            "num_workers": num_workers,
            "worker_init_fn": init_worker,
            "prefetch_factor": prefetch_factor,
            "multiprocessing_context": start_method,
            "pin_memory": pin_memory,
        }
        if available():
            return WorkerLoader(dataset, sampler, options)
    return _data_loader(
        dataset,
        batch_sampler=sampler,
        collate_fn=Collate(),
        **{"pin_memory": pin_memory, **options},
    )


def _data_loader(dataset: Dataset, **options: Any) -> DataLoader:
    """torch's, without its advice, given twice, to have no more workers than cores."""
    # The first of these imports a module, and logs and swallows whatever is raised meanwhile:
    # also "worker died", if that happens so early. So it comes before there are workers.
    with torch.profiler.record_function("loader"):
        pass
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")
        return DataLoader(dataset, **options)


class WorkerLoader:
    """A DataLoader whose workers fill memory that is used again (:mod:`.slots`).

    A task is the numbers of a few iterations; which samples that means the workers work out
    themselves. What the DataLoader does for a task so counts once for these iterations.

    Args:
        dataset, sampler: see :func:`train_loader`.
        options: of the DataLoader.
    """

    def __init__(
        self, dataset: Dataset, sampler: IterationSampler, options: dict[str, Any]
    ) -> None:
        self.dataset, self.sampler, self.options = dataset, sampler, options

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return _WorkerBatches(self)


class _WorkerBatches:
    def __init__(self, loader: WorkerLoader) -> None:
        options = dict(loader.options)
        ahead = options["prefetch_factor"]
        at_once = max(1, min(_MOST_AT_ONCE, ahead // 2))
        options["prefetch_factor"] = -(-ahead // at_once)
        # A few more for those who keep some batches.
        self._ring = SlotRing(
            most=min(options["num_workers"] * (ahead + at_once) + 8, _open_files())
        )
        self._taken: deque[Any] = deque()
        self._tasks = iter(
            _data_loader(
                _Iterations(loader.dataset, loader.sampler),
                batch_sampler=_Tasks(loader.sampler, self._ring, at_once),
                collate_fn=_Fill(SlotFiller(self._ring.key, collate, fresh)),
                **options,
            )
        )

    def __iter__(self) -> _WorkerBatches:
        return self

    def __next__(self) -> dict[str, Any]:
        if not self._taken:
            self._taken.extend(next(self._tasks))
        batch = self._taken.popleft()
        # Copied to pinned memory it has been taken already.
        return self._ring.take(batch) if isinstance(batch, Made) else batch

    def _shutdown_workers(self) -> None:
        self._tasks._shutdown_workers()
        self._ring.close()


_MOST_AT_ONCE = 8


def _open_files() -> int:
    """Slots, each an open file, that leave enough of what a process may open for all else."""
    try:
        import resource
    except ImportError:
        return 256
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(8, most // 2) if most != resource.RLIM_INFINITY else 4096


Task = list[tuple[int, SlotName | None]]
"""(iteration, slot), some of them."""


class _Tasks:
    """Iterations by ``at_once``, their slots chosen when the task is sent."""

    def __init__(self, sampler: IterationSampler, ring: SlotRing, at_once: int) -> None:
        self.sampler, self.ring, self.at_once = sampler, ring, at_once

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.at_once)

    def __iter__(self) -> Iterator[Task]:
        iterations = self.sampler.iterations()
        while numbers := list(islice(iterations, self.at_once)):
            yield [(iteration, self.ring.offer()) for iteration in numbers]


class _Iterations(Dataset):
    """In a worker: the samples of a task, each batch's when it is its turn."""

    def __init__(self, dataset: Dataset, sampler: IterationSampler) -> None:
        self.dataset, self.sampler = dataset, sampler

    def __getitems__(self, task: Task) -> Iterator[tuple[SlotName | None, list[Any]]]:
        for iteration, slot in task:
            yield slot, [self.dataset[key] for key in self.sampler.keys(iteration)]


class _Fill:
    """In a worker: the batches of a task."""

    def __init__(self, filler: SlotFiller) -> None:
        self.filler = filler

    def __call__(self, batches: Iterator[tuple[SlotName | None, list[Any]]]) -> list[Any]:
        return [self.filler(batch) for batch in batches]
