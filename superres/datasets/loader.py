"""The data loader of training."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2
from superres.stopping import STOPS

from .batches import Ring
from .device_cache import CachedLoader
from .sampler import IterationSampler

cv2 = import_cv2()


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
        raise UserError(
            f"num_workers = {workers} needs about {needed} open files, and {most} are allowed: "
            "raise the limit of this shell (ulimit -n 4096) or lower num_workers"
        )


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
