"""Work on numbered images in threads, in order, with a few of them in memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from superres.errors import UserError

Done = tuple[int, Any, str]


def in_order(
    work: Callable[[int], Any], count: int, num_workers: int | None = None
) -> Iterator[Done]:
    """Yield (i, ``work(i)``, fault) for i in 0..count-1, in this order.

    The result is None and ``fault`` the message where the work raised UserError.
    Decoding, resizing and checksums leave the interpreter to the other threads meanwhile.

    Args:
        num_workers: threads; 0 is one, None one per CPU that this process may use.
    """

    def do(i: int) -> Done:
        try:
            return i, work(i), ""
        except UserError as error:
            return i, None, str(error)

    affinity = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    threads = len(affinity(0)) if num_workers is None else max(1, num_workers)
    pool = ThreadPoolExecutor(threads)
    waiting: deque = deque()
    try:
        for i in range(count):
            waiting.append(pool.submit(do, i))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
