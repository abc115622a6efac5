"""Validation while training, and the best weights by it."""

from __future__ import annotations

import functools
import logging
import time
from typing import Any

import torch
from mmengine.hooks import Hook

from superres.engine.config.values import to_plain
from superres.engine.test.evaluate import Evaluation, OnImage, score_with_hooks
from superres.engine.test.published_network import standing_of_training
from superres.engine.test.record import scored_record
from superres.engine.test.sets import EvalSet
from superres.engine.test.subject import bicubic, network
from superres.engine.train.checkpoint import BEST, save_atomically, weights
from superres.engine.train.memory import while_validating
from superres.errors import UserError, did_you_mean
from superres.evaluation.extra_metrics import ExtraMetrics
from superres.evaluation.results import EvalResults, lacking_metrics
from superres.inference.memory import is_out_of_memory
from superres.registry import HOOKS


@HOOKS.register_module()
class EvaluationHook(Hook):
    """Scores the validation and test sets, keeps ``best.pth``, and prints the table at the end.

    Other hooks are called as mmengine's validation loop calls them, see :func:`score_with_hooks`
    (without scores where a signal came in between); ``runner.iter`` is then the number of finished
    iterations.

    Args:
        interval: iterations between two validations; None validates at the end only.
        save_best: 'SET/psnr', 'SET/ssim', either with '@PROTOCOL'; 'psnr' or 'ssim' of the first
            set; 'auto' is its PSNR; None keeps no best weights.
    """

    priority = "LOWEST"  # behind the checkpoint, which does not wait for a validation

    def __init__(self, interval: int | None = None, save_best: str | None = "auto") -> None:
        self.interval, self.save_best = interval, save_best
        self.last = -1  # the iteration of the last whole validation
        self.results: EvalResults | None = None

    def before_run(self, runner: Any) -> None:
        """Load the config's metrics, and decide which score is the one to choose by."""
        sets, self.warn = runner.eval_sets, functools.cache(runner.log.warn)  # once of each fault
        self.extras = ExtraMetrics(to_plain(runner.cfg.get("metrics") or []), str(runner.device))
        wanted = self.save_best if sets else None
        if wanted in ("auto", "psnr", "ssim"):
            wanted = f"{sets[0].key}/{'psnr' if wanted == 'auto' else wanted}"
        known = _scores(sets)
        if wanted and wanted not in known:
            near = did_you_mean(wanted, known)
            raise UserError(f"config: save_best = {wanted!r} is none of {', '.join(known)}{near}")
        self.chosen, of = known.get(wanted, ("", {}))
        self.selection = {**of, "score": None, "iter": None}
        if self.selection.get("role") == "test":
            runner.log.warn(
                f"the best checkpoint is chosen by {self.selection['set']}, a test set, whose "
                "score is biased by that; name a validation set in val_sets"
            )

    def before_train(self, runner: Any) -> None:
        """Make up for a validation that was interrupted, or came after the last checkpoint."""
        done = runner.iter
        due = done >= runner.max_iters or (done > 0 and self._due(done))
        if due and self.last != done:
            self.validate(runner)

    def after_train_iter(self, runner: Any, **_: Any) -> None:
        """Validate where it is time to, unless the run is about to stop."""
        done = runner.iter + 1
        if not runner.stop_training and (self._due(done) or done == runner.max_iters):
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
        checkpoint["meta"].update(validated=self.last, selection={**self.selection})

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Continue the choice, if it was by the same score."""
        self.last = checkpoint["meta"].get("validated", -1)
        saved, own = checkpoint["meta"].get("selection") or {}, self.selection
        if all(saved.get(key) == own.get(key) for key in ("set", "metric", "protocol")):
            own.update({key: saved.get(key) for key in ("score", "iter")})

    def validate(self, runner: Any) -> None:
        """Score all sets; keep the best weights."""
        self.last = runner.iter
        if not runner.eval_sets:
            return
        started = time.perf_counter()
        results = score_with_hooks(runner, "val", lambda show: self._evaluate(runner, show))
        runner.check_stop()
        if results is None or runner.stop.signal:
            self.last = -1
            return
        self.results = results
        errors = [i.get("metric_errors", {}) for e in results.entries for i in e["images"]]
        broken = [m for m in results.metrics if all(m in of for of in errors)]
        for metric in broken:
            self.warn(f"metrics: {errors[0][metric]}; there is no image with a score by it")
        for entry in results.entries:
            for note in lacking_metrics(entry["images"], sorted({*results.metrics} - {*broken})):
                self.warn(f"{entry['set']} by {entry['protocol']}: {note}")
        runner.failed = bool(broken)
        runner.log.validation(runner.iter, results, time.perf_counter() - started)
        self._keep_best(runner, results.scalars())

    def _keep_best(self, runner: Any, scores: dict[str, float]) -> None:
        best, score = self.selection, scores.get(self.chosen)
        if score is None or (best["score"] is not None and score <= best["score"]):
            return
        best.update(score=score, iter=runner.iter)
        content = weights(runner, runner.iter)
        if runner.rank == 0:
            save_atomically(content, runner.work_dir / BEST)
            where = f"{best['set']} {best['metric']} {score:.4f} by {best['protocol']}"
            runner.log.say(f"best so far: {where} at iteration {runner.iter} ({BEST})")

    def _evaluate(self, runner: Any, on_image: OnImage) -> EvalResults | None:
        torch.backends.cudnn.benchmark = False  # each image has a size of its own
        stopped = lambda: bool(runner.stop.signal)  # noqa: E731
        sets = Evaluation(runner.eval_sets, self.extras, stopped, beside=True)
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


def _scores(sets: list[EvalSet]) -> dict[str, tuple[str, dict[str, str]]]:
    """By its names in a config, each score of a validation: its one name in
    :meth:`EvalResults.scalars`, which leaves a set's first protocol out, and what it is."""
    return {
        f"{s.key}/{metric}{by}": (
            f"{s.key}/{metric}{by if place else ''}",
            {"set": s.key, "metric": metric, "protocol": protocol.name, "role": s.role},
        )
        for s in sets
        for place, protocol in enumerate(s.protocols)
        for metric in ("psnr", "ssim")
        for by in ((f"@{protocol.name}",) if place else ("", f"@{protocol.name}"))
    }
