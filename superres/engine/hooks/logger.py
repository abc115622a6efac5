"""The progress of training, a line of log.jsonl every ``interval`` iterations."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from mmengine.hooks import Hook

from superres.engine.distributed import launch
from superres.errors import UserError, some
from superres.inference.memory import peak_memory_mb
from superres.registry import HOOKS


@HOOKS.register_module()
class LoggerHook(Hook):
    """Mean loss of all processes, learning rate, speed, waiting for data, ETA and peak memory.

    Losses stay on the device until the interval is over, so that no step waits for the one before
    it. They are looked at, too, before a checkpoint is written: weights behind a loss that is not
    finite are never saved. On a CPU, where looking costs nothing, each loss is looked at.

    Args:
        interval: iterations between two lines.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, interval: int = 100) -> None:
        self.interval = interval
        # (iteration, losses, facts of each sample) of iterations that are not looked at yet.
        self._pending: list[tuple[int, dict[str, torch.Tensor], list[dict]]] = []
        # The losses, by name, of those looked at since the last line.
        self._finished: list[dict[str, float]] = []

    def before_train(self, runner: Any) -> None:
        """Start the clock, and note the seconds waited for data and the iterations done so far."""
        self._time, self._wait, self._iter = time.perf_counter(), runner.data_wait, runner.iter

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any, outputs: Any) -> None:
        """Note the losses; every ``interval`` iterations, and at the end, show them."""
        done = runner.iter + 1
        self._pending.append((done, outputs, data_batch["meta"]))
        if runner.device.type == "cpu":
            self._read(runner)
        if done % self.interval == 0 or done == runner.max_iters:
            self._show(runner, done)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Look at all losses: nothing is saved behind one that is not finite."""
        self._read(runner)

    def after_val_epoch(self, runner: Any, **_: Any) -> None:
        """Start the clock again: the time of a validation is not that of training."""
        self.before_train(runner)

    def _read(self, runner: Any) -> None:
        """Bring losses to the CPU; UserError where one is not finite."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        names = list(pending[0][1])
        values = [torch.as_tensor(outputs[n]).detach() for _, outputs, _ in pending for n in names]
        if runner.device.type != "cpu":
            values = torch.stack([v.float() for v in values]).cpu()  # one transfer
        numbers = map(float, values)
        for iteration, _, meta in pending:
            losses = {name: next(numbers) for name in names}
            if not all(map(math.isfinite, losses.values())):
                raise UserError(_diverged(runner, iteration, losses, meta))
            self._finished.append(losses)

    def _show(self, runner: Any, done: int) -> None:
        """Log means since the last line; ``data_wait`` is a share of time, ``eta_s`` seconds."""
        self._read(runner)
        count = max(1, done - self._iter)
        elapsed = max(time.perf_counter() - self._time, 1e-9)
        recent = self._finished[-count:]
        means = [sum(r[n] for r in recent) / len(recent) for n in recent[0]]
        record = {
            "iter": done,
            **dict(zip(recent[0], launch.mean(means))),
            "lr": runner.optim_wrapper.optimizer.param_groups[0]["lr"],
            **{k: float(v) for k, v in runner.message_hub.scalars.items()},
            "it_per_s": count / elapsed,
            "data_wait": (runner.data_wait - self._wait) / elapsed,
            "eta_s": (runner.max_iters - done) * elapsed / count,
            "memory_mb": peak_memory_mb(runner.device),
        }
        self._finished.clear()
        self.before_train(runner)
        self._iter = done
        runner.log.training(record, runner.max_iters)


def _diverged(runner: Any, iteration: int, losses: dict[str, float], meta: list[dict]) -> str:
    """What is said of a loss that is not finite."""
    shown = some([m.get("gt_path") or m.get("name") for m in meta])
    good = runner.last_good_checkpoint
    values = ", ".join(f"{n} = {v}" for n, v in losses.items())
    return (
        f"training stopped: {values} at iteration {iteration}; samples: {shown}. Last good "
        f"checkpoint: {good or 'none yet'}. Look at these images, lower optim_wrapper.optimizer.lr "
        "or set optim_wrapper.clip_grad=dict(max_norm=1.0), and continue with --resume"
    )
