"""Training: one loop over mmengine's configs, registries, hooks and optimiser wrappers.

The loop is our own so that a run can start at any iteration without replaying data, so that
nothing grows with the number of iterations, and so that every file it writes is whole at any time.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner.priority import get_priority

import superres
from superres.checkpoints.formats.base import full_config
from superres.datasets.loader import shut_down, train_loader
from superres.datasets.sampler import IterationSampler
from superres.errors import UserError, from_worker
from superres.registry import DATASETS, HOOKS, MODELS

from . import launch
from .checkpoint import (
    BEST,
    find_resumable,
    iteration_files,
    load_strictly,
    save_atomically,
    save_iteration,
)
from .config import to_plain
from .config_check import blame
from .eval_sets import EvalSet, prepare_sets
from .evaluate import EvalResults, OnPicture, bicubic, evaluate
from .hooks.ema import EMAHook
from .hooks.log import LogHook
from .load_from import load_from
from .reporter import Reporter
from .scalars import LastScalars
from .selection import Selection
from .signals import StopRequest
from .test_record import table_record


class Trainer:
    """One run. mmengine hooks see it as their ``runner``.

    Args:
        cfg: a complete config (see :func:`superres.engine.config.load_config`), checked.
        device: from :func:`superres.engine.launch.join`.
        work_dir: exists and is ours.
        reporter: where lines and scalars go.
        hooks: further hooks, besides those of the config.
    """

    def __init__(
        self,
        cfg: Config,
        device: torch.device,
        work_dir: Path,
        reporter: Reporter,
        hooks: list[Hook] | None = None,
    ) -> None:
        self.cfg, self.device, self.work_dir, self.reporter = cfg, device, work_dir, reporter
        self.logger = reporter.logger
        self.message_hub = LastScalars()
        self.rank, self.world_size = launch.rank(), launch.world_size()
        self.iter, self.epoch, self.max_iters = 0, 0, cfg.max_iters
        self.seed: int = cfg.seed
        self.data_wait = 0.0
        self.last_saved = self.last_validated = -1
        self.scores: EvalResults | None = None  # of the last validation
        self.on_picture: OnPicture | None = None  # a hook may want to see validation's pictures

        dataset_cfg = {**cfg.train_dataloader["dataset"], "seed": self.seed}
        with blame("train_dataloader.dataset", dataset_cfg):
            self.train_dataset = DATASETS.build(dataset_cfg)
        self._left_out = _too_small(self.train_dataset, reporter.warn)
        self.eval_sets: list[EvalSet] = prepare_sets(cfg, reporter.warn)
        self.selection = Selection.from_config(cfg, self.eval_sets, reporter.warn)

        # The weights drawn here are a function of the seed, whatever was drawn before.
        torch.manual_seed(self.seed)
        with blame("model", cfg.model):
            self.module = MODELS.build(to_plain(cfg.model)).to(device)
        if cfg.get("load_from"):
            load_from(
                self.module.backbone,
                cfg.model["backbone"],
                cfg.load_from,
                cfg.get("load_format"),
                reporter.say,
                reporter.debug,
            )
        self.model = self._wrap(self.module)
        with blame("optim_wrapper", cfg.optim_wrapper):
            self.optim_wrapper = build_optim_wrapper(self.module, _optim_config(cfg))
        self.optim_wrapper.message_hub = self.message_hub
        self._first_lrs = [g["lr"] for g in self.optim_wrapper.optimizer.param_groups]
        self.param_schedulers = self._build_schedulers()

        self.ema: EMAHook | None = None
        self.hooks: list[Hook] = []
        for hook in [LogHook(cfg.get("log_interval", 100)), *(hooks or [])]:
            self.register_hook(hook)
        if cfg.get("ema"):
            ema = to_plain(cfg.ema)
            with blame("ema", ema):
                self.ema = EMAHook(**(ema if isinstance(ema, dict) else {"decay": ema}))
            self.register_hook(self.ema)
        for hook_cfg in cfg.get("custom_hooks") or []:
            with blame("custom_hooks", hook_cfg):
                self.register_hook(HOOKS.build(to_plain(hook_cfg)))

    # -- construction ---------------------------------------------------------------------------

    def _wrap(self, module: torch.nn.Module) -> torch.nn.Module:
        if self.world_size == 1:
            return module
        from mmengine.model import MMDistributedDataParallel

        return MMDistributedDataParallel(
            module,
            device_ids=[self.device.index] if self.device.type == "cuda" else None,
            find_unused_parameters=getattr(module, "find_unused_parameters", False),
        )

    def _build_schedulers(self) -> list[Any]:
        schedulers = []
        for cfg in self.cfg.get("param_scheduler") or []:
            cfg = to_plain(cfg)
            if cfg.setdefault("by_epoch", False):
                raise UserError(
                    f"config: param_scheduler {cfg['type']}: training counts iterations, not "
                    "epochs; write by_epoch=False"
                )
            with blame(f"param_scheduler.{len(schedulers)}", cfg):
                schedulers.append(
                    PARAM_SCHEDULERS.build(cfg, default_args={"optimizer": self.optim_wrapper})
                )
        return schedulers

    def register_hook(self, hook: Hook) -> None:
        """Insert by priority, behind those of the same priority."""
        priority = get_priority(getattr(hook, "priority", "NORMAL"))
        position = len(self.hooks)
        while position and get_priority(self.hooks[position - 1].priority) > priority:
            position -= 1
        self.hooks.insert(position, hook)

    def call_hook(self, stage: str, **kwargs: Any) -> None:
        """Call one stage of all hooks."""
        for hook in self.hooks:
            method = getattr(hook, stage, None)
            if method is not None:
                method(self, **kwargs)

    def _hooks_of(self, stage: str) -> list[Any]:
        """The methods of hooks that do something at a stage, looked up once."""
        return [getattr(h, stage) for h in self.hooks if stage in h.get_triggered_stages()]

    # -- the loop -------------------------------------------------------------------------------

    def train(self) -> int:
        """Train to ``max_iters``; gives the exit code (0, or 130 and 143 after a signal)."""
        if self.iter >= self.max_iters:
            return self._finished_before()
        sampler = IterationSampler(
            len(self.train_dataset),
            self.cfg.global_batch_size,
            self.seed,
            self.rank,
            self.world_size,
            start=self.iter,
            stop=self.max_iters,
            scales=getattr(self.train_dataset, "scales", None),
            skip=self._left_out,
        )
        options = {k: v for k, v in self.cfg.train_dataloader.items() if k != "dataset"}
        loader = train_loader(
            self.train_dataset, sampler, pin_memory=self.device.type == "cuda", **options
        )
        self.call_hook("before_run")
        with StopRequest() as stop:
            self.call_hook("before_train")
            if self._due(self.cfg.val_interval) and self.last_validated != self.iter and self.iter:
                self.validate(stop)
            # Workers inherit what is blocked: Ctrl-C in a terminal reaches them while they start.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            batches = iter(loader)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            try:
                self._iterate(batches, stop)
            except RuntimeError as error:  # a worker's death is raised wherever we are
                raise from_worker(error) from error
            finally:
                shut_down(batches)
        if self.iter == self.last_validated == self.max_iters:
            self._final_table()
        self.call_hook("after_train")
        self.call_hook("after_run")
        return stop.exit_code

    def _iterate(self, batches: Iterator[Any], stop: StopRequest) -> None:
        before, after = self._hooks_of("before_train_iter"), self._hooks_of("after_train_iter")
        # On a GPU the agreement would hold up the stream, so it is sought now and then.
        agree_every = 10 if self.device.type == "cuda" and self.world_size > 1 else 1
        self.model.train()
        while self.iter < self.max_iters:
            started = time.perf_counter()
            try:
                batch = next(batches)
            except Exception as error:
                raise from_worker(error) from error
            self.data_wait += time.perf_counter() - started

            # Dropout and the like draw from (seed, iteration, rank): the same after a resume.
            torch.manual_seed(step_seed(self.seed, self.iter, self.rank))
            for hook in before:
                hook(self, batch_idx=self.iter, data_batch=batch)
            outputs = self.model.train_step(batch, optim_wrapper=self.optim_wrapper)
            for hook in after:
                hook(self, batch_idx=self.iter, data_batch=batch, outputs=outputs)
            for scheduler in self.param_schedulers:
                scheduler.step()
            self.iter += 1

            last = self.iter == self.max_iters
            stopping = (last or self.iter % agree_every == 0) and stop.agreed(self.device)
            if self._due(self.cfg.checkpoint_interval) or last or stopping:
                self.save()
            if not stopping and (self._due(self.cfg.val_interval) or last):
                self.validate(stop)
                stopping = stop.agreed(self.device)
                self.model.train()
            if stopping:
                self.save()
                self.reporter.say(
                    f"stopped at iteration {self.iter}, saved; continue with --resume"
                )
                return

    def _finished_before(self) -> int:
        """A run that has reached its end; its last validation may have been interrupted."""
        self.reporter.say(f"nothing to do: iteration {self.iter} of {self.max_iters} is reached")
        if launch.broadcast(self.reporter.has_validation(self.iter)):
            return 0
        self.call_hook("before_run")
        with StopRequest() as stop:
            self.validate(stop)
        self.call_hook("after_run")
        return stop.exit_code

    def _due(self, interval: int | None) -> bool:
        return bool(interval) and self.iter % interval == 0

    # -- validation -----------------------------------------------------------------------------

    @property
    def picture_count(self) -> int:
        """Pictures that samples are drawn from."""
        return len(self.train_dataset) - len(self._left_out)

    @property
    def test_module(self) -> torch.nn.Module:
        """The weights that validation and testing use: averaged ones where there are any."""
        return self.ema.module if self.ema is not None else self.module

    def validate(self, stop: StopRequest | None = None) -> None:
        """Score all sets; keep the best weights."""
        self.last_validated = self.iter
        if not self.eval_sets:
            return
        started = time.perf_counter()
        results = evaluate(
            self.test_module,
            self.eval_sets,
            self.device,
            interrupted=lambda: bool(stop and stop.signal),
            on_picture=self.on_picture,
        )
        if results is None or (stop is not None and stop.agreed(self.device)):
            self.last_validated = -1
            return
        self.scores = results
        self.call_hook("after_val_epoch", metrics=results.scalars())
        self.reporter.validation(self.iter, results, time.perf_counter() - started)
        best = self.selection.better(results, self.iter)
        if best is not None and self.rank == 0:
            state = {"meta": self._meta(), "state_dict": self.module.state_dict()}
            if self.ema is not None:
                state["ema_state_dict"] = self.ema.module.state_dict()
            save_atomically(state, self.work_dir / BEST)
            self.reporter.say(f"best so far: {best}")

    def _final_table(self) -> None:
        """The scores of the last weights, beside bicubic's and published ones."""
        if self.scores is None:
            return
        baseline = evaluate(
            bicubic, self.eval_sets, self.device, label="Bicubic", on_failure=self.reporter.warn
        )
        if self.rank == 0:
            self.reporter.table(
                table_record(self.cfg, self.eval_sets, self.scores, baseline, self.iter)
            )

    # -- checkpoints ----------------------------------------------------------------------------

    def _meta(self) -> dict[str, Any]:
        return {
            "superres": superres.__version__,
            "torch": torch.__version__,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "iter": self.iter,
            "seed": self.seed,
            "scale": to_plain(self.cfg.scale),
            "global_batch_size": self.cfg.global_batch_size,
            "model": self._model_config(),
            "config": to_plain(self.cfg),
            "validated": self.last_validated,
            "selection": self.selection.record(),
        }

    def _model_config(self) -> dict[str, Any]:
        # With today's defaults written out: a later change of one must not change old weights.
        config = to_plain(self.cfg.model)
        return {**config, "backbone": to_plain(full_config(config["backbone"]))}

    def save(self) -> None:
        """Write ``iter_N.pth``, on rank 0."""
        if self.last_saved == self.iter:
            return
        state = {
            "meta": self._meta(),
            "state_dict": self.module.state_dict(),
            "optimizer": self.optim_wrapper.state_dict(),
            "param_schedulers": [s.state_dict() for s in self.param_schedulers],
        }
        self.call_hook("before_save_checkpoint", checkpoint=state)
        self.last_saved = self.iter
        if self.rank == 0:
            path = save_iteration(
                state, self.work_dir, self.iter, self.cfg.get("max_keep_checkpoints")
            )
            self.reporter.debug(f"saved {path}")
        launch.barrier()

    def resume(self, wanted: Path | None = None) -> bool:
        """Continue from the newest readable checkpoint, or from ``wanted``; False: none there."""
        found = None
        if self.rank == 0:
            found = find_resumable(self.work_dir, wanted, self.reporter.warn)
        path = launch.broadcast(str(found[0]) if found else None)
        if path is None:
            return False
        state = found[1] if found else find_resumable(self.work_dir, Path(path), print)[1]
        self._restore(state, path)
        return True

    def _restore(self, state: dict[str, Any], path: str) -> None:
        meta = state.get("meta", {})
        load_strictly(self.module, state["state_dict"], path)
        try:
            self.optim_wrapper.load_state_dict(state["optimizer"])
        except (ValueError, KeyError) as error:
            raise UserError(
                f"{path}: its optimiser state does not fit the config: {error}"
            ) from error
        self.iter = int(meta["iter"])
        self._restore_schedule(state, meta)
        self.last_saved = self.iter
        self.last_validated = meta.get("validated", -1)
        self.selection.restore(meta.get("selection"))
        self.call_hook("after_load_checkpoint", checkpoint=state)
        if meta.get("seed") != self.seed:
            self.reporter.warn(
                f"seed {self.seed} differs from the checkpoint's {meta.get('seed')}: from here on "
                "other samples are drawn than an uninterrupted run would have drawn"
            )
        if meta.get("global_batch_size") != self.cfg.global_batch_size:
            self.reporter.warn(
                f"global_batch_size {self.cfg.global_batch_size} differs from the checkpoint's "
                f"{meta.get('global_batch_size')}"
            )
        self.reporter.say(f"resumed from {path} at iteration {self.iter}")

    def _restore_schedule(self, state: dict[str, Any], meta: dict[str, Any]) -> None:
        """The learning rate continues, unless the config now asks for another schedule."""
        before = meta.get("config", {})
        same = all(
            to_plain(self.cfg.get(key)) == before.get(key)
            for key in ("param_scheduler", "optim_wrapper")
        )
        if same:
            for scheduler, saved in zip(self.param_schedulers, state["param_schedulers"]):
                scheduler.load_state_dict(saved)
            return
        self.reporter.warn(
            "the optimiser or the schedule in the config differs from the checkpoint's: the "
            f"config's learning rate for iteration {self.iter} is used"
        )
        for group, lr in zip(self.optim_wrapper.optimizer.param_groups, self._first_lrs):
            group["lr"] = group["initial_lr"] = lr
        self.param_schedulers = self._build_schedulers()
        for _ in range(self.iter):
            for scheduler in self.param_schedulers:
                scheduler.step()

    @property
    def last_good_checkpoint(self) -> Path | None:
        """The newest checkpoint on disk."""
        return next((path for _, path in iteration_files(self.work_dir)), None)


def step_seed(seed: int, iteration: int, rank: int) -> int:
    """The seed of torch's generators for one step of one rank (SplitMix64's mixing)."""
    mask = (1 << 64) - 1
    z = (seed * 0x9E3779B97F4A7C15 + iteration * 0xBF58476D1CE4E5B9 + rank) & mask
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
    return (z ^ z >> 31) >> 1


def _too_small(dataset: Any, warn: Any) -> list[int]:
    """Pictures that no patch can be cut from, told by name; a set of nothing else is an error."""
    left_out = dataset.too_small() if hasattr(dataset, "too_small") else []
    if not left_out:
        return []
    names = [dataset.gt.name_at(i) for i in left_out]
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if names[10:] else "")
    if len(left_out) == len(dataset):
        raise UserError(
            f"{dataset.gt.path}: every picture is smaller than the patch ({shown}); lower "
            "lq_patch_size (or gt_patch_size), or take larger pictures"
        )
    warn(
        f"{len(left_out)} of {len(dataset)} pictures of {dataset.gt.path} are smaller than the "
        f"patch and are left out: {shown}. Lower lq_patch_size to use them"
    )
    return left_out


def _optim_config(cfg: Config) -> dict[str, Any]:
    config = to_plain(cfg.optim_wrapper)
    amp = to_plain(cfg.get("amp"))
    if amp and config.get("type", "OptimWrapper") == "OptimWrapper":
        config["type"] = "AutocastOptimWrapper"
        if isinstance(amp, str):
            config["dtype"] = amp
    return config
