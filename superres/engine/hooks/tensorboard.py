"""Curves for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from superres.registry import HOOKS


@HOOKS.register_module()
class TensorboardHook(Hook):
    """Writes what the log shows, and every validation, to ``WORK_DIR/tensorboard``.

    Needs the package ``tensorboard`` (extra ``superres[tensorboard]``).
    """

    priority = "LOW"

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = folder
        self._writer: Any = None

    def before_run(self, runner: Any) -> None:
        """Open the writer and listen to the reporter."""
        if runner.rank:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            runner.reporter.say(
                "no TensorBoard curves: the package is not installed "
                "(pip install 'superres[tensorboard]', or tensorboard=False in the config)"
            )
            return
        self._writer = SummaryWriter(self.folder or runner.work_dir / "tensorboard")
        runner.reporter.listen(self._write)

    def _write(self, mode: str, iteration: int, values: dict[str, float]) -> None:
        for key, value in values.items():
            if isinstance(value, (int, float)):
                self._writer.add_scalar(f"{mode}/{key}", value, iteration)

    def after_run(self, runner: Any) -> None:
        """Flush."""
        if self._writer is not None:
            self._writer.close()
