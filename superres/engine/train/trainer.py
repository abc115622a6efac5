"""Training: one loop over mmengine's configs, registries, hooks and optimiser wrappers.

The loop is our own so that a run can start at any iteration without replaying data, so that
nothing grows with the number of iterations, and so that every file it writes is whole at any time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.runner.priority import get_priority

from superres.datasets.loader import shut_down, train_loader
from superres.datasets.sampler import IterationSampler
from superres.engine.config.check import blame
from superres.engine.config.load import to_plain
from superres.engine.config.mmengine_hooks import uncalled
from superres.engine.distributed import launch
from superres.engine.hooks.ema import EMAHook
from superres.engine.hooks.log import LogHook
from superres.engine.test.best_checkpoint import Selection
from superres.engine.test.evaluate import EvalResults, OnPicture, bicubic, evaluate
from superres.engine.test.record import table_record
from superres.engine.test.sets import EvalSet, prepare_sets
from superres.errors import UserError, from_worker
from superres.registry import DATASETS, HOOKS, MODELS

from . import build
from . import resume as state
from .checkpoint import BEST, find_resumable, iteration_files, save_atomically, save_iteration
from .load_from import load_from
from .message_hub import LastScalars
from .out_of_memory import is_out_of_memory, while_training, while_validating
from .run_log import Reporter
from .signals import StopRequest, held_back
from .speed.options import resolve, torch_settings
from .speed.prefetch import CudaPrefetcher
from .speed.recompute import recompute
from .step import TrainStep, step_seed

_SCHEDULES = get_priority("LOW")  # of the hook that steps them in mmengine


class Trainer:
    """One run. mmengine hooks see it as their ``runner``.

    Args:
        cfg: a complete config (see :func:`superres.engine.config.load.load_config`), checked.
        device: from :func:`superres.engine.distributed.launch.join`.
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

        self.fast, self._fast_notes = resolve(
            to_plain(cfg.get("fast", "auto")),
            to_plain(cfg.get("amp", False)),
            device,
            bool(cfg.get("deterministic")),
            self.world_size,
        )
        dataset_cfg = {**cfg.train_dataloader["dataset"], "seed": self.seed}
        with blame("train_dataloader.dataset", dataset_cfg):
            self.train_dataset = DATASETS.build(dataset_cfg)
        self._left_out = build.too_small(self.train_dataset, reporter.warn)
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
        grey = (cfg.get("eval_dataset") or {}).get("channels") == "grey"
        build.rehearse(self.module.backbone, self.eval_sets, 1 if grey else 3, device)
        if self.fast.channels_last:
            self.module.backbone.to(memory_format=torch.channels_last)
        if cfg.get("recompute"):
            recompute(self.module.backbone, to_plain(cfg.recompute))
        self.model = build.wrap(self.module, device, self.world_size)
        with blame("optim_wrapper", cfg.optim_wrapper):
            self.optim_wrapper = build_optim_wrapper(
                self.module, build.optim_config(cfg, self.fast, device)
            )
        self.optim_wrapper.message_hub = self.message_hub
        self.first_lrs = [g["lr"] for g in self.optim_wrapper.optimizer.param_groups]
        self.param_schedulers = build.schedulers(cfg, self.optim_wrapper)

        self.step = TrainStep(
            self.model,
            self.module,
            self.optim_wrapper,
            device,
            self.fast,
            cfg.get("accumulate", 1),
            reporter.say,
        )

        self.ema: EMAHook | None = None
        self.hooks: list[Hook] = []
        for hook in [LogHook(cfg.get("log_interval", 100)), *(hooks or [])]:
            self.register_hook(hook)
        if cfg.get("ema"):
            ema = to_plain(cfg.ema)
            ema = ema if isinstance(ema, dict) else {"decay": ema}
            priority = ema.pop("priority", None)
            with blame("ema", ema):
                self.ema = EMAHook(**ema)
            self.register_hook(self.ema, priority)
        for hook_cfg in map(to_plain, cfg.get("custom_hooks") or []):
            priority = hook_cfg.pop("priority", None)
            with blame("custom_hooks", hook_cfg):
                hook = HOOKS.build(hook_cfg)
                self.register_hook(hook, priority)
            uncalled(hook, reporter.warn)

    def register_hook(self, hook: Hook, priority: str | int | None = None) -> None:
        """Insert by priority, behind those of the same priority; None takes the hook's own."""
        if priority is not None:
            hook.priority = priority
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

    def _hooks_of(self, stage: str, late: bool | None = None) -> list[Any]:
        """The methods of hooks that do something at a stage, looked up once.

        ``late``: only those that come behind the schedules, or only those before them.
        """
        return [
            getattr(h, stage)
            for h in self.hooks
            if stage in h.get_triggered_stages()
            and late in (None, get_priority(h.priority) >= _SCHEDULES)
        ]

    # -- the loop -------------------------------------------------------------------------------

    def train(self) -> int:
        """Train to ``max_iters``; gives the exit code (0, or 130 and 143 after a signal).

        Raises:
            UserError: out of memory, no deterministic form of an operation, a loss that is not
                finite, and whatever the data says.
        """
        for note in self._fast_notes:
            self.reporter.warn(note)
        self.reporter.say(f"step: {self.fast}")
        try:
            with torch_settings(self.fast, bool(self.cfg.get("deterministic")), self.device):
                return self._train()
        except RuntimeError as error:
            if "deterministic" not in str(error) or not self.cfg.get("deterministic"):
                raise
            first = str(error).splitlines()[0]
            raise UserError(f"config: deterministic = True: {first}") from error

    def _train(self) -> int:
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
        options["pin_memory"] = options.get("pin_memory", True) and self.device.type == "cuda"
        loader = train_loader(self.train_dataset, sampler, **options)
        self.call_hook("before_run")
        with StopRequest() as stop:
            self.call_hook("before_train")
            if self._due(self.cfg.val_interval) and self.last_validated != self.iter and self.iter:
                self.validate(stop)
            with held_back(options.get("start_method")):
                batches = iter(loader)
            if self.fast.prefetch:
                batches = CudaPrefetcher(batches, self.device)
            try:
                self._iterate(batches, stop)
            except (RuntimeError, MemoryError) as error:
                if is_out_of_memory(error):
                    raise while_training(self, error) from error
                raise from_worker(error) from error  # a worker's death is raised wherever we are
            finally:
                shut_down(batches)
        if self.iter == self.last_validated == self.max_iters:
            self._final_table()
        self.call_hook("after_train")
        self.call_hook("after_run")
        return stop.exit_code

    def _iterate(self, batches: Iterator[Any], stop: StopRequest) -> None:
        before = self._hooks_of("before_train_iter")
        after, late = (self._hooks_of("after_train_iter", late=x) for x in (False, True))
        # On a GPU the agreement would hold up the stream, so it is sought now and then.
        agree_every = 10 if self.device.type == "cuda" and self.world_size > 1 else 1
        # Looked up once: a look into a Config costs as much as a whole hook.
        save_every, val_every = self.cfg.checkpoint_interval, self.cfg.val_interval
        self.model.train()
        while self.iter < self.max_iters:
            started = time.perf_counter()
            try:
                batch = next(batches)
            except Exception as error:
                raise from_worker(error) from error
            self.data_wait += time.perf_counter() - started

            for hook in before:
                hook(self, batch_idx=self.iter, data_batch=batch)
            # Dropout and the like draw from (seed, iteration, rank): the same after a resume.
            outputs = self.step(batch, step_seed(self.seed, self.iter, self.rank))
            for hook in after:
                hook(self, batch_idx=self.iter, data_batch=batch, outputs=outputs)
            for scheduler in self.param_schedulers:
                scheduler.step()
            for hook in late:
                hook(self, batch_idx=self.iter, data_batch=batch, outputs=outputs)
            self.iter += 1

            last = self.iter == self.max_iters
            stopping = (last or self.iter % agree_every == 0) and stop.agreed(self.device)
            if last or stopping or self._due(save_every):
                self.save()
            if not stopping and (last or self._due(val_every)):
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
        torch.backends.cudnn.benchmark = False  # each picture has a size of its own
        try:
            results = evaluate(
                self.test_module,
                self.eval_sets,
                self.device,
                interrupted=lambda: bool(stop and stop.signal),
                on_picture=self.on_picture,
            )
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise while_validating(self, error) from error
            raise
        finally:
            torch.backends.cudnn.benchmark = self.fast.autotune
        if results is None or (stop is not None and stop.agreed(self.device)):
            self.last_validated = -1
            return
        self.scores = results
        self.call_hook("after_val_epoch", metrics=results.scalars())
        self.reporter.validation(self.iter, results, time.perf_counter() - started)
        best = self.selection.better(results, self.iter)
        if best is not None and self.rank == 0:
            save_atomically(state.weights(self), self.work_dir / BEST)
            self.reporter.say(f"best so far: {best}")

    def _final_table(self) -> None:
        """The scores of the last weights, beside bicubic's and published ones."""
        if self.scores is None:
            return
        baseline = evaluate(
            bicubic, self.eval_sets, self.device, label="Bicubic", on_failure=self.reporter.warn
        )
        if self.rank == 0:
            args = (self.eval_sets, self.scores, baseline, self.iter, self.picture_count)
            self.reporter.table(table_record(self.cfg, *args))

    # -- checkpoints ----------------------------------------------------------------------------

    def save(self) -> None:
        """Write ``iter_N.pth``, on rank 0."""
        if self.last_saved == self.iter:
            return
        content = state.capture(self)
        self.last_saved = self.iter
        if self.rank == 0:
            path = save_iteration(
                content, self.work_dir, self.iter, self.cfg.get("max_keep_checkpoints")
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
        content = found[1] if found else find_resumable(self.work_dir, Path(path), print)[1]
        state.restore(self, content, path)
        return True

    @property
    def last_good_checkpoint(self) -> Path | None:
        """The newest checkpoint on disk."""
        return next((path for _, path in iteration_files(self.work_dir)), None)
