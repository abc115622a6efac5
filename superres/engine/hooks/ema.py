"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from superres.errors import UserError
from superres.registry import HOOKS


@HOOKS.register_module()
class EMAHook(Hook):
    """Keeps ``average = decay * average + (1 - decay) * weights``, from the start of training.

    Validation and testing use the average. It is saved as ``ema_state_dict``, beside the weights
    that training continues from.

    Args:
        decay: between 0 and 1, e.g. 0.999.
        begin: the iteration up to which the average is just the weights.
    """

    priority = "NORMAL"

    def __init__(self, decay: float = 0.999, begin: int = 0) -> None:
        if not isinstance(decay, float) or not 0 < decay < 1:
            raise UserError(f"config: ema.decay = {decay!r} must lie between 0 and 1")
        self.decay, self.begin = decay, begin
        self.average: AveragedModel | None = None

    @property
    def module(self) -> torch.nn.Module:
        """The averaged restorer."""
        return self.average.module

    def _build(self, runner: Any) -> None:
        if self.average is None:
            # One fused update of all tensors, not a Python loop over them.
            update = get_ema_multi_avg_fn(self.decay)
            self.average = AveragedModel(runner.module, multi_avg_fn=update)
            self.average.requires_grad_(False)

    def before_run(self, runner: Any) -> None:
        """Start from the weights as they are."""
        self._build(runner)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Update the average."""
        if runner.iter < self.begin:
            self.average.n_averaged.zero_()
        self.average.update_parameters(runner.module)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Save it beside the weights."""
        checkpoint["ema_state_dict"] = self.module.state_dict()
        checkpoint["meta"]["ema"] = {
            "decay": self.decay,
            "updates": int(self.average.n_averaged),
        }

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Continue it, or start it from the weights of a run that had none."""
        self._build(runner)
        saved = checkpoint.get("ema_state_dict")
        if saved is None:
            runner.reporter.warn("the checkpoint has no averaged weights; the average starts here")
            self.module.load_state_dict(checkpoint["state_dict"])
            return
        self.module.load_state_dict(saved)
        self.average.n_averaged.fill_(checkpoint["meta"]["ema"]["updates"])
