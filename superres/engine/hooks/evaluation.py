"""Validation while training, and the best weights by it."""

from __future__ import annotations

import itertools
import logging
import time
from typing import Any

import torch
from mmengine.hooks import Hook

from superres.engine.distributed import launch
from superres.engine.test.best_checkpoint import Selection
from superres.engine.test.evaluate import EvalResults, evaluate, extra_metrics
from superres.engine.test.predictor import bicubic, network
from superres.engine.test.published_columns import standing_of_training
from superres.engine.test.record import scored_record
from superres.engine.train import resume
from superres.engine.train.checkpoint import BEST, save_atomically
from superres.engine.train.out_of_memory import is_out_of_memory, while_validating
from superres.evaluation.results import lacking_metrics
from superres.registry import HOOKS


@HOOKS.register_module()
class EvaluationHook(Hook):
    """Scores the validation and test sets, keeps ``best.pth``, and prints the table at the end.

    Other hooks are called as mmengine's validation loop calls them: ``before_val``,
    ``before_val_epoch``, ``after_val_iter`` for each image of this rank, ``after_val_epoch`` with
    the scores (without any where a signal came in between), ``after_val``; ``runner.iter`` is then
    the number of finished iterations.

    Args:
        interval: iterations between two validations; None validates at the end only.
        save_best: 'SET/psnr', 'SET/ssim', either with '@PROTOCOL'; 'auto' is the first validation
            set's PSNR; None keeps no best weights.
    """

    priority = "LOWEST"  # behind the checkpoint, which does not wait for a validation

    def __init__(self, interval: int | None = None, save_best: str | None = "auto") -> None:
        self.interval, self.save_best = interval, save_best
        self.last = -1  # the iteration of the last whole validation
        self.results: EvalResults | None = None

    def before_run(self, runner: Any) -> None:
        """Load the config's metrics, and decide which score is the one to choose by."""
        self.extras = extra_metrics(runner.cfg, runner.device)
        self.selection = Selection.from_wish(self.save_best, runner.eval_sets, runner.log.warn)

    def before_train(self, runner: Any) -> None:
        """Make up for a validation that was interrupted."""
        done = runner.iter
        if done >= runner.max_iters:
            missing = not launch.broadcast(runner.log.has_validation(done))
        else:
            missing = done > 0 and self._due(done) and self.last != done
        if missing:
            self.validate(runner)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Validate where it is time to, unless the run is about to stop."""
        done = runner.iter + 1
        if not runner.stopping and (self._due(done) or done == runner.max_iters):
            runner.iter = done  # what mmengine's hooks see in a validation
            try:
                self.validate(runner)
            finally:
                runner.iter = done - 1
            runner.model.train()

    def after_train(self, runner: Any) -> None:
        """Print the scores of the last weights, beside bicubic's and published ones."""
        if self.results is None or not runner.iter == self.last == runner.max_iters:
            return
        sets, warn = runner.eval_sets, runner.log.warn
        baseline = evaluate(bicubic, sets, self.extras, "Bicubic", on_failure=warn)
        if runner.rank == 0 and runner.log.level <= logging.INFO:
            plus = bool(runner.module.inference.get("self_ensemble"))
            standing = standing_of_training(runner.cfg, runner.image_count, plus)
            parts = sets, self.results, baseline, standing, self.extras.described()
            runner.log.table(scored_record(runner.cfg, *parts))

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Note what was validated and chosen."""
        checkpoint["meta"].update(validated=self.last, selection=self.selection.record())

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Continue the choice."""
        self.last = checkpoint["meta"].get("validated", -1)
        self.selection.restore(checkpoint["meta"].get("selection"))

    def validate(self, runner: Any) -> None:
        """Score all sets; keep the best weights."""
        self.last = runner.iter
        if not runner.eval_sets:
            return
        started = time.perf_counter()
        runner.call_hook("before_val")
        runner.call_hook("before_val_epoch")
        results = self._evaluate(runner)
        runner.call_hook("after_val_epoch", metrics=results.scalars() if results else {})
        runner.call_hook("after_val")
        runner.check_stop()
        if results is None or runner.stop.signal:
            self.last = -1
            return
        self.results = results
        for entry in results.entries if runner.rank == 0 else ():
            for note in lacking_metrics(entry["images"], results.metrics):
                runner.log.warn(f"{entry['set']} by {entry['protocol']}: {note}")
        runner.log.validation(runner.iter, results, time.perf_counter() - started)
        best = self.selection.better(results, runner.iter)
        if best is not None:
            content = resume.weights(runner, runner.iter)
            if runner.rank == 0:
                save_atomically(content, runner.work_dir / BEST)
                runner.log.say(f"best so far: {best}")

    def _evaluate(self, runner: Any) -> EvalResults | None:
        numbers = itertools.count()

        def on_image(eval_set: Any, name: str, lq: Any, sr: Any, gt: Any) -> None:
            batch = {"set": eval_set.key, "name": name, "lq": lq, "gt": gt}
            runner.call_hook(
                "after_val_iter", batch_idx=next(numbers), data_batch=batch, outputs=sr
            )

        torch.backends.cudnn.benchmark = False  # each image has a size of its own
        try:
            return evaluate(
                network(runner.module, runner.device),
                runner.eval_sets,
                self.extras,
                f"iteration {runner.iter}",
                interrupted=lambda: bool(runner.stop.signal),
                on_picture=on_image,
            )
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise while_validating(runner, error) from error
            raise
        finally:
            torch.backends.cudnn.benchmark = runner.fast.autotune

    def _due(self, iteration: int) -> bool:
        return bool(self.interval) and iteration % self.interval == 0
