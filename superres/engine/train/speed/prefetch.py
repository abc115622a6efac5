"""Batches that are on their way to the GPU while it computes on the one before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class CudaPrefetcher:
    """An iterator over ``batches`` whose tensors are on a GPU, one batch ahead.

    The integers of a batch are copied from pinned memory on a stream of their own. The stream that
    computes waits for the copy, the process does not.

    What goes wrong while a batch is fetched is raised when it is that batch's turn: the one before
    it is good.

    Args:
        batches: dicts with tensors in pinned memory (others are copied, too, but wait).
        device: a CUDA device.
    """

    def __init__(self, batches: Iterator[dict[str, Any]], device: torch.device) -> None:
        self.batches, self.device = batches, device
        self.stream = torch.cuda.Stream(device)
        self._next: dict[str, Any] | None = None
        self._error: Exception | None = None
        self._fetch()

    def __iter__(self) -> CudaPrefetcher:
        return self

    def __next__(self) -> dict[str, Any]:
        if self._error is not None:
            raise self._error
        batch = self._next
        main = torch.cuda.current_stream(self.device)
        main.wait_stream(self.stream)
        for value in batch.values():
            if isinstance(value, Tensor):
                value.record_stream(main)  # its memory is not reused while it is computed on
        self._fetch()
        return batch

    def _fetch(self) -> None:
        try:
            batch = next(self.batches)
        except Exception as error:  # StopIteration, too
            self._next, self._error = None, error
            return
        with torch.cuda.stream(self.stream):
            self._next = {
                k: v.to(self.device, non_blocking=True) if isinstance(v, Tensor) else v
                for k, v in batch.items()
            }

    def _shutdown_workers(self) -> None:
        """What :func:`superres.datasets.loader.shut_down` calls."""
        end = getattr(self.batches, "_shutdown_workers", None)
        if end is not None:
            end()
