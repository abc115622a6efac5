"""Exponential moving average of the weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from superres.engine.train.checkpoint import load_strictly
from superres.errors import UserError
from superres.registry import HOOKS


@HOOKS.register_module()
class EMAHook(Hook):
    """Keeps ``average = decay * average + (1 - decay) * weights``, from the start of training.

    Validation and testing use the average. It is saved as ``ema_state_dict``, beside the weights
    that training continues from. Buffers (running statistics) are not averaged but copied.

    Args:
        decay: between 0 and 1, e.g. 0.999.
        begin: the iteration up to which the average is just the weights.
        interval: iterations between two updates.
    """

    priority = "NORMAL"

    def __init__(self, decay: float = 0.999, begin: int = 0, interval: int = 1) -> None:
        if not isinstance(decay, float) or not 0 < decay < 1:
            raise UserError(f"config: ema.decay = {decay!r} must lie between 0 and 1")
        for name, value, least in (("begin", begin, 0), ("interval", interval, 1)):
            if type(value) is not int or value < least:
                raise UserError(
                    f"config: ema.{name} = {value!r} must be a whole number of at least {least}"
                )
        self.decay, self.begin, self.interval = decay, begin, interval
        self.updates = 0
        self._module: torch.nn.Module | None = None
        # Looked up once: a walk over a network's modules costs more than the update.
        self._averaged: list[Tensor] = []
        self._current: list[Tensor] = []
        self._copied: list[tuple[Tensor, Tensor]] = []

    @property
    def module(self) -> torch.nn.Module:
        """The averaged restorer."""
        return self._module

    def _build(self, runner: Any) -> None:
        if self._module is not None:
            return
        self._module = copy.deepcopy(runner.module).requires_grad_(False)
        # .data is the memory of a parameter, which optimisers change in place.
        self._averaged = [p.data for p in self._module.parameters()]
        self._current = [p.data for p in runner.module.parameters()]
        self._copied = list(zip(self._module.buffers(), runner.module.buffers()))

    def before_run(self, runner: Any) -> None:
        """Start from the weights as they are."""
        self._build(runner)

    @torch.no_grad()
    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Update the average, all tensors at once."""
        if self.updates == 0 or runner.iter < self.begin:
            self.updates = 0
            torch._foreach_copy_(self._averaged, self._current)
        elif self.updates % self.interval == 0:
            torch._foreach_lerp_(self._averaged, self._current, 1 - self.decay)
        for averaged, current in self._copied:
            averaged.copy_(current)
        self.updates += 1

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Save it beside the weights."""
        checkpoint["ema_state_dict"] = self.module.state_dict()
        checkpoint["meta"]["ema"] = {"decay": self.decay, "updates": self.updates}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Continue it, or start it from the weights of a run that had none."""
        self._build(runner)
        saved = checkpoint.get("ema_state_dict")
        if saved is None:
            runner.reporter.warn("the checkpoint has no averaged weights; the average starts here")
            self.module.load_state_dict(checkpoint["state_dict"])
            return
        load_strictly(self.module, saved, "the averaged weights in the checkpoint")
        self.updates = checkpoint["meta"]["ema"]["updates"]
