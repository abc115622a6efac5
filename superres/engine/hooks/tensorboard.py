"""Curves and sample pictures in TensorBoard."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from superres.engine.config.values import require
from superres.registry import HOOKS


@HOOKS.register_module()
class TensorboardHook(Hook):
    """Writes the scalars that the run reports, and some results, to ``WORK_DIR/tensorboard``.

    At each validation it writes so many results as ``tensorboard=dict(pictures=N)`` in the config
    says, else 4, of each set its first ones; each beside LR, bicubic and HR, with an enlarged part.
    Without the package it says so once and does nothing.
    """

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self._writer: Any = None
        self._seen: Counter[str] = Counter()

    def before_train(self, runner: Any) -> None:
        """Open the writer and listen to the log."""
        options = runner.cfg.get("tensorboard")
        wanted = options.get("pictures", 4) if isinstance(options, dict) else 4
        self._pictures = require("tensorboard.pictures", wanted, "count or 0")
        if runner.rank:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            runner.log.say(
                "no TensorBoard curves: the package is not installed "
                "(pip install 'superres[tensorboard]', or tensorboard=False in the config)"
            )
            return
        self._writer = SummaryWriter(runner.work_dir / "tensorboard")
        runner.log.listeners.append(self._write)

    def _write(self, mode: str, iteration: int, values: dict[str, float]) -> None:
        writer = self._with_folder()
        for key, value in values.items():
            if isinstance(value, (int, float)):
                writer.add_scalar(f"{mode}/{key}", value, iteration)

    def _with_folder(self) -> Any:
        """The writer; where the work dir went while training, its thread would die."""
        Path(self._writer.log_dir).mkdir(parents=True, exist_ok=True)
        return self._writer

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Write a result, if it is among the first of its set."""
        # The limit is on all sets together, and each set gets its share.
        key, share = data_batch["set"], -(-self._pictures // len(runner.eval_sets))
        full = self._seen.total() >= self._pictures or self._seen[key] >= share
        if self._writer is None or full:
            return
        from superres.evaluation.embedding import as_rgb8
        from superres.imaging.comparison import comparison

        self._seen[key] += 1
        shown = comparison(*map(as_rgb8, (data_batch["lq"], outputs, data_batch["gt"])))
        tag = f"val/{key}/{data_batch['name']}"
        self._with_folder().add_image(tag, shown, runner.iter, dataformats="HWC")

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """The next validation shows the same ones again."""
        self._seen.clear()

    def after_run(self, runner: Any) -> None:
        """Flush."""
        if self._writer is not None:
            self._writer.close()
