"""Curves and sample images, in TensorBoard and whatever else mmengine's Visualizer reaches."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from superres.engine.config.values import require
from superres.errors import UserError
from superres.registry import HOOKS


@HOOKS.register_module()
class VisualizationHook(Hook):
    """Hands the scalars that the run reports, and some results, to ``runner.visualizer``.

    These are the first images of each set at each validation, in all as many as the config's
    ``tensorboard=dict(pictures=N)`` says (4), each beside LR, bicubic and HR and magnified in part.
    """

    priority = "VERY_LOW"

    def before_run(self, runner: Any) -> None:
        """Find mistakes before anything is written."""
        options = runner.cfg.get("tensorboard")
        wanted = options.get("pictures", 4) if isinstance(options, dict) else 4
        self._limit = require("tensorboard.pictures", wanted, "count or 0")
        self._seen: Counter[str] = Counter()  # images shown of each set, in this validation
        self._visualizer = runner.visualizer if runner.vis_backends else None

    def before_train(self, runner: Any) -> None:
        """Start the back ends and listen to the log."""
        if runner.rank or not runner.vis_backends:
            self._visualizer = None
            return
        self._log = runner.log
        self._folders = [Path(b["save_dir"]) for b in runner.vis_backends if "save_dir" in b]
        try:
            self._visualizer.add_config(runner.cfg)
        except Exception as error:  # a package that is missing, a server, a login
            raise UserError(f"config: visualizer: {error}") from error
        runner.log.listeners.append(self._write)

    def _write(self, mode: str, iteration: int, values: dict[str, float]) -> None:
        numbers = {f"{mode}/{k}": v for k, v in values.items() if isinstance(v, int | float)}
        self._call("add_scalars", numbers, iteration)

    def _call(self, method: str, *arguments: Any) -> None:
        """One method of the visualizer, which is given up where it fails."""
        if self._visualizer is None:
            return
        try:
            # Where the work dir went while training, TensorBoard's thread would die.
            for folder in self._folders:
                folder.mkdir(parents=True, exist_ok=True)
            getattr(self._visualizer, method)(*arguments)
        except Exception as error:  # curves end no training
            self._visualizer = None
            self._log.warn(f"visualizer: {error}; it is left out, and the training continues")

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any, outputs: Any) -> None:
        """Show a result, if it is among the first of its set."""
        # The limit is on all sets together, and each set gets its share, rounded up.
        key, share = data_batch["set"], -(-self._limit // len(runner.eval_sets))
        full = self._seen.total() >= self._limit or self._seen[key] >= share
        if self._visualizer is None or full:
            return
        from superres.evaluation.report_images import as_rgb8
        from superres.imaging.comparison import comparison

        self._seen[key] += 1
        shown = comparison(*map(as_rgb8, (data_batch["lq"], outputs, data_batch["gt"])))
        self._call("add_image", f"val/{key}/{data_batch['name']}", shown, runner.iter)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """The next validation shows the same ones again."""
        self._seen.clear()

    def after_run(self, runner: Any) -> None:
        """Write what is left, and close."""
        self._call("close")
