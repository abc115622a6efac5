"""Work on numbered pictures in processes, in order, with a few of them in memory."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any

from superres.errors import UserError

# Workers are worth starting when at least this much remains: each of them has to start Python
# and import this package first.
_WORTH_SECONDS = 8.0
_TRY_SECONDS = 1.0

Work = Callable[[int], Any]
Done = tuple[int, Any, str]


def in_order(
    work: Work, count: int, num_workers: int | None = None, worth: bool = True
) -> Iterator[Done]:
    """Yield (i, ``work(i)``, fault) for i in 0..count-1, in this order.

    The result is None and ``fault`` the message where the work raised UserError or KeyError.

    Args:
        work: picklable; sent once to each worker.
        num_workers: 0 works in this process; None begins in this process and starts one worker
            per CPU where enough work remains, and ``worth`` says that it is worth sharing.

    Raises:
        UserError: a negative number of workers; a worker died (killed, or out of memory).
    """
    if num_workers is not None and num_workers < 0:
        raise UserError(f"num_workers must be at least 0, not {num_workers}")
    numbers = iter(range(count))
    if num_workers is None:
        done, spent = 0, 0.0
        while done < count and not (worth and spent >= _TRY_SECONDS):
            started = time.perf_counter()
            result = _do(work, next(numbers))
            spent += time.perf_counter() - started
            done += 1
            yield result
        much = done < count and spent / done * (count - done) >= _WORTH_SECONDS
        num_workers = _usable_cpus() if much else 0
    if num_workers:
        yield from _in_workers(work, numbers, num_workers)
    else:
        yield from (_do(work, i) for i in numbers)


def _in_workers(work: Work, numbers: Iterable[int], num_workers: int) -> Iterator[Done]:
    from multiprocessing import get_context, resource_tracker

    if hasattr(resource_tracker, "ensure_running"):
        resource_tracker.ensure_running()  # starting it would unblock SIGINT
    executor = ProcessPoolExecutor(
        num_workers, mp_context=get_context("spawn"), initializer=_start, initargs=(work,)
    )
    waiting: deque = deque()
    numbers = iter(numbers)
    try:
        while True:
            for i in islice(numbers, 2 * num_workers + 1 - len(waiting)):
                with _sigint_blocked():  # submitting starts the workers
                    waiting.append(executor.submit(_do_here, i))
            if not waiting:
                return
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise UserError(
            "A working process died, perhaps for lack of memory. Run the same command again, with "
            "fewer workers if it happens again."
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


def _do(work: Work, i: int) -> Done:
    try:
        return i, work(i), ""
    except (UserError, KeyError) as error:
        return i, None, str(error.args[0])


_work: Work | None = None


def _start(work: Work) -> None:
    """In a worker: take the work, leave Ctrl-C to the parent, and die with it."""
    global _work
    _work = work
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


def _do_here(i: int) -> Done:
    return _do(_work, i)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
