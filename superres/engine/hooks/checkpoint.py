"""Training checkpoints at an interval, at the end, and when a run is stopped."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from superres.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(Hook):
    """Saves ``iter_N.pth``: everything that the run needs to continue.

    Args:
        interval: iterations between two checkpoints; None saves at the end only.
        max_keep_ckpts: how many remain; None keeps all.
    """

    priority = "VERY_LOW"  # the schedule has stepped, the loss was looked at

    def __init__(self, interval: int | None = None, max_keep_ckpts: int | None = None) -> None:
        self.interval, self.keep = interval, max_keep_ckpts

    def after_train_iter(self, runner: Any, **_: Any) -> None:
        """Save where it is time to."""
        done = runner.iter + 1
        due = self.interval and done % self.interval == 0
        if due or runner.stop_training or done == runner.max_iters:
            runner.save_checkpoint(done, self.keep)

    def after_train(self, runner: Any) -> None:
        """Save what a stop within a validation left."""
        if runner.iter:
            runner.save_checkpoint(keep=self.keep)
