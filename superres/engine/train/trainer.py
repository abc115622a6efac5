"""The training loop, over parts that are ready.

The loop is our own so that a run can start at any iteration without replaying data, so that
nothing grows with the number of iterations, and so that every file it writes is whole at any time.
It knows no hook by name: logging, checkpoints, evaluation, averaging and curves are hooks that
:mod:`superres.engine.train.build` makes from the config.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from superres.datasets.joined import stores
from superres.datasets.loader import shut_down, train_loader
from superres.datasets.sampler import IterationSampler
from superres.engine.distributed import launch
from superres.engine.facade import Facade
from superres.engine.run_log import RunLog
from superres.errors import UserError, from_worker

from .checkpoint import capture, find_resumable, iteration_files, restore, save_iteration
from .memory import is_out_of_memory, while_training
from .signals import StopRequest, held_back
from .speed.cuda import CudaPrefetcher
from .speed.options import torch_settings
from .step import TrainStep, step_seed


@dataclass
class Trainer(Facade):
    """One run. mmengine hooks see it as their ``runner``.

    Attributes:
        cfg: the complete config, checked.
        work_dir: exists and is ours.
        log: where lines and figures go.
        train_dataset: samples by (scale, index, draw) keys.
        left_out: indices of images that are too small for a patch.
        eval_sets: the opened validation and test sets.
        step: one update; ``device``, ``module`` (the restorer), ``model`` (the same, or the
            DistributedDataParallel around it), ``optim_wrapper`` and ``fast`` are its own.
        param_schedulers: mmengine's.
        hooks: in the order of their priorities; see :meth:`.Facade.register_hook`.
        iter: finished iterations; within ``before_train_iter`` and ``after_train_iter`` the number
            of the running one, from 0, as in mmengine.
        stop_training: the loop ends after this iteration.
        failed: some of what was asked for could not be had, so the exit code is not 0.
        last_saved: the iteration of the newest checkpoint.
        earlier: the facts of the runs that this one goes on from, see :func:`.checkpoint.weights`.
    """

    cfg: Config
    work_dir: Path
    log: RunLog
    train_dataset: Any
    left_out: list[int]
    eval_sets: list[Any]
    step: TrainStep
    param_schedulers: list[Any]
    hooks: list[Hook] = field(default_factory=list, init=False)
    iter: int = field(default=0, init=False)
    data_wait: float = field(default=0.0, init=False)
    last_saved: int = field(default=-1, init=False)
    stop_training: bool = field(default=False, init=False)
    failed: bool = field(default=False, init=False)
    earlier: list[dict[str, Any]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.logger, self.device, self.fast = self.log.logger, self.step.device, self.step.fast
        self.module, self.model = self.step.module, self.step.model
        self.optim_wrapper: OptimWrapper = self.step.optim_wrapper
        self.message_hub = self.optim_wrapper.message_hub
        self.rank, self.world_size = launch.rank(), launch.world_size()
        self.epoch, self.max_epochs = 0, 1
        self.max_iters: int = self.cfg.max_iters
        self.seed: int = self.cfg.seed
        self.first_lrs = [g["lr"] for g in self.optim_wrapper.optimizer.param_groups]
        self.stop = StopRequest()

    def _hooks_of(self, stage: str) -> list[Any]:
        """The methods of hooks that do something at a stage, looked up once."""
        return [getattr(h, stage) for h in self.hooks if stage in h.get_triggered_stages()]

    # -- the loop -------------------------------------------------------------------------------

    def train(self) -> int:
        """Train to ``max_iters``; returns 0, 1 where ``failed``, 130 or 143 after a signal.

        Raises:
            UserError: out of memory, no deterministic form of an operation, a loss that is not
                finite, and whatever the data says.
        """
        self.log.say(f"step: {self.fast}")
        deterministic = bool(self.cfg.get("deterministic"))
        try:
            with torch_settings(self.fast, deterministic, self.device), self.stop:
                return self._train()
        except RuntimeError as error:
            if "deterministic" not in str(error) or not deterministic:
                raise
            first = str(error).splitlines()[0]
            raise UserError(f"config: deterministic = True: {first}") from error

    def _train(self) -> int:
        if self.iter >= self.max_iters:
            self.log.say(f"nothing to do: already at iteration {self.iter}/{self.max_iters}")
        self.call_hook("before_train")
        if self.iter < self.max_iters and not self.stop_training:
            self.call_hook("before_train_epoch")
            self._run()
            self.call_hook("after_train_epoch")
        self.call_hook("after_train")
        if self.stop_training and self.stop.signal:
            kept = "saved; continue with --resume" if self.last_saved == self.iter else "not saved"
            self.log.say(f"stopped at iteration {self.iter}, {kept}")
        elif self.stop_training:
            self.log.say(f"a hook ended the training at iteration {self.iter}")
        self.call_hook("after_run")
        return self.stop.exit_code or int(self.failed)

    def _run(self) -> None:
        """Start the workers, iterate, and end them."""
        of = self.train_dataset, self.cfg.global_batch_size, self.seed, self.rank, self.world_size
        span = {"start": self.iter, "stop": self.max_iters, "skip": self.left_out}
        sampler = IterationSampler.of(*of, **span)
        options = {k: v for k, v in self.cfg.train_dataloader.items() if k != "dataset"}
        options["pin_memory"] = options.get("pin_memory", True) and self.device.type == "cuda"
        loader = self.train_dataloader = train_loader(self.train_dataset, sampler, **options)
        batches = None
        try:
            with held_back(options.get("start_method")):
                batches = iter(loader)
            if self.fast.prefetch:
                batches = CudaPrefetcher(batches, self.device)
            self.iterate(batches)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise while_training(self, error) from error
            raise from_worker(error) from error  # a worker's death is raised wherever we are
        finally:
            shut_down(batches)

    def iterate(self, batches: Iterator[Any]) -> None:
        """Train on ``batches`` until ``max_iters``, or until asked to stop."""
        before, after = self._hooks_of("before_train_iter"), self._hooks_of("after_train_iter")
        # On a GPU the agreement would hold up the stream, so it is sought now and then.
        agree_every = 10 if self.device.type == "cuda" and self.world_size > 1 else 1
        self.model.train()
        while self.iter < self.max_iters and not self.stop_training:
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
            done = self.iter + 1
            if done == self.max_iters or done % agree_every == 0:
                self.check_stop()
            for hook in after:
                hook(self, batch_idx=self.iter, data_batch=batch, outputs=outputs)
            self.iter = done

    def check_stop(self) -> bool:
        """Ask all ranks whether one was told to stop; they call this at the same iteration."""
        self.stop_training = self.stop.agreed(self.device) or self.stop_training
        return self.stop_training

    # -- facts and files ------------------------------------------------------------------------

    @property
    def image_count(self) -> int:
        """Images that samples are drawn from."""
        return len(self.train_dataset) - len(self.left_out)

    def save_checkpoint(self, iteration: int | None = None, keep: int | None = None) -> None:
        """Write ``iter_N.pth`` on rank 0, once per iteration; all ranks call this.

        Args:
            iteration: N, the iterations that the weights have been through; default ``iter``.
            keep: how many such files remain; None keeps all.
        """
        iteration = self.iter if iteration is None else iteration
        if self.last_saved == iteration:
            return
        self._require_unchanged_data()
        content = capture(self, iteration)
        self.last_saved = iteration
        if self.rank == 0:
            path = save_iteration(content, self.work_dir, iteration, keep)
            self.log.debug(f"saved {path}")
        launch.barrier()

    def _require_unchanged_data(self) -> None:
        """The packs are those that this process opened; called by all ranks.

        Raises:
            UserError: on all ranks, where one is not.
        """
        found = (store.changed() for _, store in stores(self.train_dataset))
        fault = next(filter(None, found), "")
        faults = [fault for fault in launch.gather(fault) if fault]
        if faults:
            launch.report_once()
            kept = self.last_good_checkpoint
            since = kept.name if kept else "the start"
            raise UserError(
                f"{faults[0]}; restore it and --resume, from {since}: nothing was saved"
            )

    def resume(self, wanted: Path | None = None) -> bool:
        """Continue from the newest readable checkpoint, or from ``wanted``; False: none there."""
        found = None
        if self.rank == 0:
            found = find_resumable(self.work_dir, wanted, self.log.warn)
        path = launch.broadcast(str(found[0]) if found else None)
        if path is None:
            return False
        content = found[1] if found else find_resumable(self.work_dir, Path(path), print)[1]
        restore(self, content, path)
        return True

    @property
    def last_good_checkpoint(self) -> Path | None:
        """The newest checkpoint on disk."""
        return next((path for _, path in iteration_files(self.work_dir)), None)
