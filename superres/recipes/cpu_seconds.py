"""Processor time of a training in its log, for curves from a machine that others use too."""

from __future__ import annotations

import time
from typing import Any

from mmengine.hooks import Hook

from superres.registry import HOOKS


@HOOKS.register_module()
class CpuSecondsHook(Hook):
    """Log ``cpu_seconds``: processor time of the training process over all resumes of the run.

    The workers that load data are processes of their own and are not counted.
    """

    priority = "HIGH"  # before the line of the log is written

    def __init__(self) -> None:
        self._before = 0.0

    def before_train(self, runner: Any) -> None:
        """Count from here; imports and the reading of the data are not training."""
        self._before -= time.process_time()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Hand the seconds to the log."""
        runner.message_hub.update_scalar("train/cpu_seconds", self._before + time.process_time())

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Keep the seconds for a resume."""
        checkpoint["meta"]["cpu_seconds"] = self._before + time.process_time()

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Start from the seconds of the run that is resumed."""
        self._before = checkpoint["meta"].get("cpu_seconds", 0.0)
