"""Any work on numbered pictures, spread over the packer's worker processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from superres.datasets.storage.names import PackedNames
from superres.datasets.storage.pool import load_in_order
from superres.datasets.storage.sources import PackSource
from superres.errors import UserError

Work = Callable[[int], dict[str, Any]]


def run_jobs(
    work: Work, count: int, num_workers: int | None = None
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield (i, ``work(i)``) for i in 0..count-1, in order, a few at a time.

    Args:
        work: picklable; sent once to each worker. Gives something that JSON can hold.
        num_workers: as for :func:`superres.datasets.pack.pack_images`.

    Yields:
        The message instead of the result where ``work(i)`` raised UserError.

    Raises:
        UserError: a worker died.
    """
    for i, result, _, fault in load_in_order(_Job(work), list(range(count)), num_workers):
        yield i, fault if result is None else json.loads(result.tobytes())


class _Job(PackSource):
    """The workers hand over arrays: a result travels as its JSON's bytes."""

    names = PackedNames.from_encoded([])

    def __init__(self, work: Work) -> None:
        self._work = work

    def load(self, i: int) -> np.ndarray:
        try:
            data = json.dumps(self._work(i)).encode()
        except KeyError as error:  # of a store; the pool takes it for the user's mistake
            raise UserError(str(error.args[0])) from None
        return np.frombuffer(data, np.uint8).reshape(1, -1, 1)

    def stamp(self, i: int) -> bytes:
        return b""
