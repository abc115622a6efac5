"""Load pictures in worker processes, in order, with a few of them in memory."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from superres.datasets.storage.sources import PackSource, as_pixels
from superres.datasets.storage.writer import pixel_checksum
from superres.errors import UserError

# Workers are worth starting when at least this much decoding remains: each of them has to start
# Python and import this package first.
_WORTH_SECONDS = 8.0
_TRY_SECONDS = 1.0

Loaded = tuple[int, np.ndarray | None, int, str]


def load_in_order(
    source: PackSource, numbers: list[int], num_workers: int | None = None
) -> Iterator[Loaded]:
    """Yield (number, pixels or None, crc32, fault) for each of ``numbers``, in their order.

    Args:
        num_workers: 0 loads in this process; None begins in this process and starts one worker
            per CPU where enough work remains.

    Raises:
        UserError: a negative number of workers; a worker died (killed, or out of memory).
    """
    if num_workers is not None and num_workers < 0:
        raise UserError(f"num_workers must be at least 0, not {num_workers}")
    if num_workers == 0 or not numbers:
        yield from (_load(source, i) for i in numbers)
    elif num_workers is None:
        count, spent = 0, 0.0
        while count < len(numbers) and not (source.decodes and spent >= _TRY_SECONDS):
            started = time.perf_counter()
            loaded = _load(source, numbers[count])
            spent += time.perf_counter() - started
            count += 1
            yield loaded
        rest = numbers[count:]
        worth = rest and spent / count * len(rest) >= _WORTH_SECONDS
        yield from load_in_order(source, rest, _usable_cpus() if worth else 0)
    else:
        yield from _load_in_workers(source, numbers, num_workers)


def _load_in_workers(source: PackSource, numbers: list[int], num_workers: int) -> Iterator[Loaded]:
    from multiprocessing import get_context, resource_tracker

    if hasattr(resource_tracker, "ensure_running"):
        resource_tracker.ensure_running()  # starting it would unblock SIGINT
    executor = ProcessPoolExecutor(
        num_workers, mp_context=get_context("spawn"), initializer=_start, initargs=(source,)
    )
    waiting: deque = deque()
    remaining = iter(numbers)
    try:
        while True:
            while len(waiting) <= 2 * num_workers:
                i = next(remaining, None)
                if i is None:
                    break
                with _sigint_blocked():  # submitting starts the workers
                    waiting.append(executor.submit(_load_here, i))
            if not waiting:
                return
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise UserError(
            "A packing process died, perhaps for lack of memory. What was packed is kept: run "
            "the same command again, with fewer workers if it happens again."
        ) from None
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Ctrl-C waits meanwhile, and for good in processes started here, until :func:`_start`."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _load(source: PackSource, i: int) -> Loaded:
    try:
        pixels = as_pixels(source.load(i))
    except (UserError, KeyError) as error:
        return i, None, 0, str(error.args[0])
    return i, pixels, pixel_checksum(pixels), ""


_source: PackSource | None = None


def _start(source: PackSource) -> None:
    """In a worker: take the source, leave Ctrl-C to the parent, and die with it."""
    global _source
    _source = source
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    from multiprocessing import parent_process

    parent = parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()


def _load_here(i: int) -> Loaded:
    return _load(_source, i)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
