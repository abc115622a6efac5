"""One iteration: a batch in, updated weights and losses out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor

from superres.errors import UserError
from superres.inference.memory import is_out_of_memory

from .speed import Fast

Losses = dict[str, Tensor]


class TrainStep:
    """Forward, backward, optimiser.

    Args:
        model: the restorer (``module``), or the DistributedDataParallel around it.
        optim_wrapper: see :mod:`superres.engine.train.optim`.
        device: that the module is on.
        fast: the parts of the fast step; the weights' layout and the optimiser's form are settled
            before.
        accumulate: micro-batches that a process's share of the batch is cut into. Their gradients
            are summed, so the update is that of the whole batch.
        say: told what turned out not to be possible.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optim_wrapper: OptimWrapper,
        device: torch.device,
        fast: Fast | None = None,
        accumulate: int = 1,
        say: Callable[[str], None] = print,
    ) -> None:
        module: BaseModel = getattr(model, "module", model)
        self.model, self.module, self.optim_wrapper = model, module, optim_wrapper
        self.device, self.accumulate, self.say = device, accumulate, say
        self.fast = fast = fast or Fast()
        # A restorer with a step of its own, as mmengine's conventions allow (several optimisers).
        self.own_step = type(module).train_step is not BaseModel.train_step
        if self.own_step and accumulate > 1:
            name = type(module).__name__
            raise UserError(f"config: accumulate = {accumulate}: {name} has its own train_step")
        # Asked once: to say no, a module builds an error message each time.
        self._no_sync = getattr(model, "no_sync", nullcontext)
        # Gradients of micro-batches would lie in the memory of one recording.
        graph = fast.cuda_graph and accumulate == 1
        self.compiled = fast.compile and compile_backbone(module, say, graph)

    def __call__(self, batch: dict[str, Any], seed: int) -> Losses:
        """One update; ``seed`` is what dropout and the like draw from. Nothing waits for a GPU."""
        self._seed(seed)
        try:
            return self.update(batch)
        except (RuntimeError, ImportError, OSError, TypeError, NotImplementedError) as error:
            if not self.compiled or is_out_of_memory(error):
                raise
            first = str(error).strip().splitlines() or [type(error).__name__]
            self.say(f"speed.compile failed, training continues without it: {first[0][:200]}")
        self.compiled, self.module.run_backbone = False, None
        self.optim_wrapper.zero_grad()  # what failed on the way left gradients and drew numbers
        self._seed(seed)
        return self.update(batch)

    def update(self, batch: dict[str, Any]) -> Losses:
        """Losses of a batch, the mean over its micro-batches, and the update they lead to."""
        if self.own_step:
            return self.model.train_step(batch, optim_wrapper=self.optim_wrapper)
        losses: Losses = {}
        parts = [*micro_batches(batch, self.accumulate)] if self.accumulate > 1 else [batch]
        for part in parts:
            # Processes exchange gradients once, with the last micro-batch.
            with nullcontext() if part is parts[-1] else self._no_sync():
                with self.optim_wrapper.optim_context(self.model):
                    data = self.module.data_preprocessor(part, training=True)
                    found = self.model(**data, mode="loss")
                total, named = self.module.parse_losses(found)
                for key, value in named.items():
                    value = value.detach()
                    losses[key] = losses[key] + value if key in losses else value
                # Nothing else refers to the graph now; it goes with the backward pass.
                del found, named
                self.optim_wrapper.backward(total / len(parts) if parts[1:] else total)
                del total
        self.optim_wrapper.step()
        self.optim_wrapper.zero_grad()
        return {k: v / len(parts) for k, v in losses.items()} if parts[1:] else losses

    def _seed(self, seed: int) -> None:
        # What torch.manual_seed does, without its round over all kinds of devices.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.default_generators[self.device.index or 0].manual_seed(seed)


def compile_backbone(module: BaseModel, say: Callable[[str], None], graph: bool = False) -> bool:
    """Have the loss computed with a compiled backbone; whether that can be tried.

    The restorer's modules and state dict stay as they are. Compilation itself happens in the
    first iteration with each shape of batch.

    Args:
        graph: its kernels are recorded as CUDA graphs, by torch.
    """
    if not hasattr(module, "run_backbone"):
        say(f"speed.compile: {type(module).__name__} is not a Restorer; training without it")
        return False
    mode = "reduce-overhead" if graph else None
    compiled = torch.compile(module.backbone, dynamic=False, mode=mode)
    module.run_backbone = lambda x: compiled(x)  # no module: it must not be a child
    return True


def micro_batches(batch: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """A batch in ``count`` equal parts, in order; tensors are views. ``count`` divides it."""
    part = len(batch["meta"]) // count
    for start in range(0, part * count, part):
        yield {
            k: v[start : start + part] if isinstance(v, Tensor | list) else v
            for k, v in batch.items()
        }


def step_seed(seed: int, iteration: int, rank: int) -> int:
    """The seed of torch's generators for one step of one rank (SplitMix64's mixing)."""
    mask = (1 << 64) - 1
    z = (seed * 0x9E3779B97F4A7C15 + iteration * 0xBF58476D1CE4E5B9 + rank) & mask
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
    return (z ^ z >> 31) >> 1
