"""Exponential moving average of the weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmengine.hooks import Hook

from superres.checkpoints.state_dict import load_strictly
from superres.engine.config.values import require
from superres.registry import HOOKS


@HOOKS.register_module()
class EMAHook(Hook):
    """Keeps ``average = decay * average + (1 - decay) * weights``, from iteration ``begin`` on.

    A validation finds the average in the restorer; the weights change places with it for that long.
    It is saved as ``ema_state_dict``, beside the weights that training continues from. Buffers
    (running statistics) are not averaged but copied.

    Args:
        decay: between 0 and 1, e.g. 0.999.
        begin: up to this iteration the average is a copy of the weights.
        interval: iterations between two updates of the average.
    """

    priority = "NORMAL"

    def __init__(self, decay: float = 0.999, begin: int = 0, interval: int = 1) -> None:
        require("ema.decay", decay, "share")
        require("ema.begin", begin, "count or 0")
        require("ema.interval", interval, "count")
        self.decay, self.begin, self.interval = decay, begin, interval
        self.updates = 0  # iterations since it was last a copy, that one included

    def before_run(self, runner: Any) -> None:
        """Start from the weights as they are."""
        self.module = copy.deepcopy(runner.module).requires_grad_(False)  # the averaged restorer
        # Looked up once: a walk over a network's modules costs more than the update.
        # .data is the memory of a parameter, which optimisers change in place.
        self._averaged = [p.data for p in self.module.parameters()]
        self._current = [p.data for p in runner.module.parameters()]
        self._copied = list(zip(self.module.buffers(), runner.module.buffers()))

    @torch.no_grad()
    def after_train_iter(self, runner: Any, **_: Any) -> None:
        """Update the average, all tensors at once."""
        if self.updates == 0 or runner.iter < self.begin:
            self.updates = 0
            torch._foreach_copy_(self._averaged, self._current)
        elif self.updates % self.interval == 0:
            torch._foreach_lerp_(self._averaged, self._current, 1 - self.decay)
        for averaged, current in self._copied:
            averaged.copy_(current)
        self.updates += 1

    @torch.no_grad()
    def before_val_epoch(self, runner: Any, **_: Any) -> None:
        """Let the restorer have the average, and after the validation what training continues from.

        In place: recorded CUDA graphs and optimisers know the weights by their memory.
        """
        for averaged, current in [*zip(self._averaged, self._current), *self._copied]:
            kept = current.clone()
            current.copy_(averaged)
            averaged.copy_(kept)

    after_val_epoch = before_val_epoch

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Save the average beside the weights."""
        checkpoint["ema_state_dict"] = self.module.state_dict()
        checkpoint["meta"]["ema"] = {"decay": self.decay, "updates": self.updates}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Continue the average, or start one from the weights of a run that had none."""
        saved = checkpoint.get("ema_state_dict")
        if saved is None:
            runner.log.warn("the checkpoint has no averaged weights; the average starts here")
            self.module.load_state_dict(checkpoint["state_dict"])
            return
        load_strictly(self.module, saved, "the averaged weights in the checkpoint")
        self.updates = checkpoint["meta"]["ema"]["updates"]
