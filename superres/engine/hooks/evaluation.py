"""Validation while training, and the best weights by it."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import time
from collections.abc import Callable
from typing import Any

import torch
from mmengine.hooks import Hook

from superres.engine.test.evaluate import EvalResults, Evaluation
from superres.engine.test.published_columns import standing_of_training
from superres.engine.test.record import scored_record
from superres.engine.test.sets import EvalSet, extra_metrics
from superres.engine.test.subject import bicubic, network
from superres.engine.train.checkpoint import BEST, save_atomically, weights
from superres.engine.train.memory import is_out_of_memory, while_validating
from superres.errors import UserError, did_you_mean
from superres.evaluation.results import lacking_metrics
from superres.registry import HOOKS


@dataclasses.dataclass
class Selection:
    """The best score so far of one set's metric.

    Attributes:
        set, metric, protocol: which score decides; None where there is nothing to decide by.
        role: 'validation' or 'test'. Choosing by a test set biases its score, so it is said and
            written down.
        score, iter: the best one, and after how many iterations.
    """

    set: str | None = None
    metric: str = "psnr"
    protocol: str | None = None
    role: str = "none"
    score: float | None = None
    iter: int | None = None

    @classmethod
    def from_wish(
        cls, wanted: str | None, sets: list[EvalSet], warn: Callable[[str], None]
    ) -> Selection:
        """Read ``save_best``: 'SET/psnr', 'SET/ssim', 'psnr' or 'ssim' of the first set, 'auto'
        (the first set's PSNR) or None.

        A set has one score per protocol: the first protocol's, or 'SET/psnr@PROTOCOL'.

        Raises:
            UserError: it names a set or protocol that is not validated by, or another metric.
        """
        if not wanted or not sets:
            return cls()
        if wanted in ("auto", "psnr", "ssim"):
            wanted = f"{sets[0].key}/{'psnr' if wanted == 'auto' else wanted}"
        known = {
            f"{s.key}/{metric}{f'@{by}' if by else ''}": cls(s.key, metric, by or names[0], s.role)
            for s, names in ((s, [protocol.name for protocol in s.protocols]) for s in sets)
            for by in ("", *names)
            for metric in ("psnr", "ssim")
        }
        if wanted not in known:
            near = did_you_mean(wanted, known)
            raise UserError(f"config: save_best = {wanted!r} is none of {', '.join(known)}{near}")
        found = known[wanted]
        if found.role == "test":
            warn(
                f"the best checkpoint is chosen by {found.set}, a test set, whose score is biased "
                "by that; name a validation set in val_sets"
            )
        return found

    def better(self, results: EvalResults, iteration: int) -> str | None:
        """Note a new best score; returns a line about it, or None if it is not better."""
        scores = [
            entry[self.metric]
            for entry in results.entries
            if self.set in (entry["set"], f"{entry['set']}_x{entry['scale']}")
            and self.protocol == entry["protocol"]
        ]
        if not scores or scores[0] is None or not (self.score is None or scores[0] > self.score):
            return None
        self.score, self.iter = scores[0], iteration
        where = f"{self.set} {self.metric} {self.score:.4f} by {self.protocol}"
        return f"{where} at iteration {iteration} (best.pth)"

    def restore(self, record: dict[str, Any] | None) -> None:
        """Continue from a checkpoint's record, if it was about the same score."""
        same = (self.set, self.metric, self.protocol)
        if record and tuple(record.get(key) for key in ("set", "metric", "protocol")) == same:
            self.score, self.iter = record["score"], record["iter"]


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
        """Make up for a validation that was interrupted, or came after the last checkpoint."""
        done = runner.iter
        due = done >= runner.max_iters or (done > 0 and self._due(done))
        if due and self.last != done:
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
        sets = Evaluation(runner.eval_sets, self.extras, on_failure=runner.log.warn)
        baseline = sets.score(bicubic, "Bicubic")
        if runner.rank == 0 and runner.log.level <= logging.INFO:
            plus = bool(runner.module.inference.get("self_ensemble"))
            standing = standing_of_training(runner.cfg, runner.image_count, plus)
            runner.log.table(scored_record(runner.cfg, sets, self.results, baseline, standing))

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Note what was validated and chosen."""
        chosen = dataclasses.asdict(self.selection)
        checkpoint["meta"].update(validated=self.last, selection=chosen)

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
            content = weights(runner, runner.iter)
            if runner.rank == 0:
                save_atomically(content, runner.work_dir / BEST)
                runner.log.say(f"best so far: {best}")

    def _evaluate(self, runner: Any) -> EvalResults | None:
        numbers = itertools.count()

        def on_image(eval_set: EvalSet, name: str, lq: Any, sr: Any, gt: Any) -> None:
            batch = {"set": eval_set.key, "name": name, "lq": lq, "gt": gt}
            runner.call_hook(
                "after_val_iter", batch_idx=next(numbers), data_batch=batch, outputs=sr
            )

        torch.backends.cudnn.benchmark = False  # each image has a size of its own
        sets = Evaluation(runner.eval_sets, self.extras, lambda: bool(runner.stop.signal))
        try:
            method = network(runner.module, runner.device)
            return sets.score(method, f"iteration {runner.iter}", on_image=on_image)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise while_validating(runner, error) from error
            raise
        finally:
            torch.backends.cudnn.benchmark = runner.fast.autotune

    def _due(self, iteration: int) -> bool:
        return bool(self.interval) and iteration % self.interval == 0
