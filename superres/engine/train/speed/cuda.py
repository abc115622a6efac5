"""What keeps a GPU busy: batches that are on their way early, an update that is one launch.

A small network's update is hundreds of kernels of a few microseconds, which take longer to launch
than to run. Recorded as a CUDA graph, once for each shape of batch, it is one launch. The kernels
read and write where they did when they were recorded, so batches are copied into tensors that stay,
learning rates live on the GPU, and results are copied out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor

WARM_UP = 3
"""Updates of one shape before it is recorded: libraries choose algorithms and allocate, the
optimiser makes its state. They are ordinary updates, so nothing has to be undone."""
MOST = 8
"""Shapes that are recorded, each in memory of its own; further ones run as usual."""
CAPTURE_MODE = "thread_local"
"""Which threads' CUDA calls abort a recording. In torch's default, 'global', one call of the thread
that pins the next batches is enough."""


class GraphedUpdate:
    """Runs ``update`` as one CUDA graph launch. For one process and one CUDA device.

    Learning rates reach what is recorded. Where another number of the optimiser changes, or its
    clipping, or which weights are trained, it is recorded again.

    Args:
        update: a batch of tensors on ``device`` to a dict of scalars, including the optimiser's
            step, without waiting for the GPU anywhere. Only the tensors of the batch, and their
            shapes, may matter to it.
        optim_wrapper: its optimiser was made with ``capturable=True``.
        device: that everything is on.
        say: called if recording failed; from then on the answer is None.
    """

    def __init__(
        self,
        update: Callable[[dict[str, Any]], dict[str, Tensor]],
        optim_wrapper: OptimWrapper,
        device: torch.device,
        say: Callable[[str], None],
    ) -> None:
        self.update, self.device, self.say = update, device, say
        self.optim_wrapper, optimizer = optim_wrapper, optim_wrapper.optimizer
        self.optimizer = optimizer
        self.seen: Counter = Counter()
        self.recorded: dict[Any, tuple[torch.cuda.CUDAGraph, dict, dict, dict]] = {}
        self._recorded_by = self._settings()
        # One stream for all that comes before a recording, and for that: memory is of a stream.
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.failed = not all(g.get("capturable") for g in optimizer.param_groups)
        if self.failed:
            say(
                f"speed.cuda_graph: {type(optimizer).__name__} cannot be recorded (it takes no "
                "capturable=True); going on without"
            )
        self._rates: list[Tensor] = []

    def __call__(self, batch: dict[str, Any]) -> dict[str, Tensor] | None:
        """One update; None where it is not done, for the caller to do it from the start."""
        key = tuple((k, v.shape, v.dtype) for k, v in batch.items() if isinstance(v, Tensor))
        if (settings := self._settings()) != self._recorded_by:
            if self.recorded:
                self.say("speed.cuda_graph: the optimiser's settings changed; recording again")
            self._forget()
            self._recorded_by = settings
        if self.failed or (key not in self.recorded and len(self.recorded) == MOST):
            return None
        if key not in self.recorded:
            self.seen[key] += 1
            if self.seen[key] <= WARM_UP:
                return self._beside(batch)
            try:
                self.recorded[key] = self._record(batch)
            except RuntimeError as error:
                self.failed = True
                first = (str(error).splitlines() or ["unknown error"])[0][:200]
                self.say(f"speed.cuda_graph: recording failed, going on without: {first}")
            if self.failed:  # the exception is gone, and with it what the recording held
                self._forget()
                return None
        graph, inputs, outputs, scalars = self.recorded[key]
        for name, tensor in inputs.items():
            tensor.copy_(batch[name], non_blocking=True)
        for rate, group in zip(self._rates, self.optimizer.param_groups):
            rate.fill_(group["lr"])
        graph.replay()
        self._scalars().update(scalars)
        return {name: value.clone() for name, value in outputs.items()}

    def _settings(self) -> list[Any]:
        """All that a recorded update cannot learn of, as it is now."""
        found: list[Any] = [repr(getattr(self.optim_wrapper, "clip_grad_kwargs", None))]
        for group in self.optimizer.param_groups:
            found.append([(k, v) for k, v in group.items() if k not in ("params", "lr")])
            found.append([p.requires_grad for p in group["params"]])
        return found

    def _forget(self) -> None:
        """Drop all recordings, and the memory that they hold."""
        if self.recorded:
            torch.cuda.synchronize(self.device)
        for kept in (self.recorded, self.seen, self._rates):
            kept.clear()

    def _beside(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """An ordinary update on a stream of its own, as recording wants it to have been done."""
        stream, main = self._stream, torch.cuda.current_stream(self.device)
        stream.wait_stream(main)
        with torch.cuda.stream(stream):
            losses = self.update(batch)
        main.wait_stream(stream)
        for value in losses.values():
            value.record_stream(main)
        return losses

    def _record(self, batch: dict[str, Any]) -> tuple[torch.cuda.CUDAGraph, dict, dict, dict]:
        inputs = {
            k: torch.empty_like(v, device=self.device)
            for k, v in batch.items()
            if isinstance(v, Tensor)
        }
        groups = self.optimizer.param_groups
        rates = [float(g["lr"]) for g in groups]
        self._rates = self._rates or [torch.tensor(r, device=self.device) for r in rates]
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self.device)
        try:
            for group, rate in zip(groups, self._rates):
                group["lr"] = rate
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode=CAPTURE_MODE):
                outputs = self.update({**batch, **inputs})
        finally:
            # Schedulers and logs go on with plain numbers.
            for group, rate in zip(groups, rates):
                group["lr"] = rate
        scalars = {k: v for k, v in self._scalars().items() if isinstance(v, Tensor)}
        return graph, inputs, outputs, scalars

    def _scalars(self) -> dict[str, Any]:
        """What the update tells beside its losses: the norm of the gradients."""
        return getattr(self.optim_wrapper.message_hub, "scalars", {})


def prefetched(batches: Iterator[dict[str, Any]], device: torch.device) -> Iterator[dict[str, Any]]:
    """``batches`` with their tensors on a GPU, one batch ahead.

    The integers of a batch are copied from pinned memory, or made of what is on the GPU, on a
    stream of their own. The stream that computes waits for them, the process does not.

    What goes wrong while a batch is fetched is raised when it is that batch's turn: the one before
    it is good.

    Args:
        batches: dicts with tensors in pinned memory (others are copied, too, but wait).
        device: a CUDA device.
    """
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))  # a device cache is filled there

    def fetch() -> dict[str, Any] | Exception:
        try:
            with torch.cuda.stream(stream):  # where batches are made on the device: beside the step
                return {
                    k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v
                    for k, v in next(batches).items()
                }
        except Exception as error:  # StopIteration, too
            return error

    batch = fetch()
    while not isinstance(batch, Exception):
        main = torch.cuda.current_stream(device)
        main.wait_stream(stream)
        for value in batch.values():
            if isinstance(value, Tensor):
                value.record_stream(main)  # its memory is not reused while it is computed on
        following = fetch()
        yield batch
        batch = following
    if not isinstance(batch, StopIteration):
        raise batch
