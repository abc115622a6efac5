"""The training loop, over parts that are ready.

The loop is our own so that a run can start at any iteration without replaying data, so that
nothing grows with the number of iterations, and so that every file it writes is whole at any time.
It knows no hook by name: logging, checkpoints, evaluation, averaging and curves are hooks that
:mod:`superres.engine.train.build` makes from the config.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.optim import OptimWrapper

from superres.datasets.joined import stores
from superres.datasets.loader import shut_down, train_loader
from superres.datasets.sampler import IterationSampler
from superres.engine.distributed import launch
from superres.engine.facade import Facade
from superres.engine.run_log import RunLog
from superres.errors import UserError, from_worker
from superres.inference.memory import is_out_of_memory

from . import checkpoint
from .memory import while_training
from .signals import EXIT_CODES, StopRequest, held_back
from .speed import prefetched, torch_settings
from .step import TrainStep, step_seed


@dataclass
class Trainer(Facade):
    """One run. Hooks see it as their ``runner``.

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
        data_wait: seconds that iterations have waited for batches.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        self.last_saved, self.data_wait = -1, 0.0
        self.stop_training = self.failed = False
        self.earlier: list[dict[str, Any]] = []
        self.device, self.fast = self.step.device, self.step.fast
        self.module, self.model = self.step.module, self.step.model
        self.optim_wrapper: OptimWrapper = self.step.optim_wrapper
        self.message_hub = self.optim_wrapper.message_hub
        self.max_iters: int = self.cfg.max_iters
        self.deterministic = bool(self.cfg.get("deterministic"))
        self.seed: int = self.cfg.seed
        self.first_lrs = [g["lr"] for g in self.optim_wrapper.optimizer.param_groups]
        self.stop = StopRequest()

    # -- the loop -------------------------------------------------------------------------------

    def train(self) -> int:
        """Train to ``max_iters``; returns 0, 1 where ``failed``, 130 or 143 after a signal.

        Raises:
            UserError: out of memory, no deterministic form of an operation, a loss that is not
                finite, and whatever the data says.
        """
        self.log.say(f"step: {self.fast}")
        if self.iter >= self.max_iters:
            self.log.say(f"nothing to do: already at iteration {self.iter}/{self.max_iters}")
        with torch_settings(self.fast, self.deterministic, self.device), self.stop:
            self.call_hook("before_train")
            if self.iter < self.max_iters and not self.stop_training:
                self.call_hook("before_train_epoch")
                self._run()
                self.call_hook("after_train_epoch")
            self.call_hook("after_train")
            if self.stop_training and self.stop.signal:
                saved = self.last_saved == self.iter
                kept = "saved; continue with --resume" if saved else "not saved"
                self.log.say(f"stopped at iteration {self.iter}, {kept}")
            elif self.stop_training:
                self.log.say(f"a hook ended the training at iteration {self.iter}")
            self.call_hook("after_run")
        return EXIT_CODES.get(self.stop.signal, int(self.failed))

    def _run(self) -> None:
        """Start the workers, iterate, and end them."""
        of = self.train_dataset, self.cfg.global_batch_size, self.seed, self.rank, self.world_size
        span = {"start": self.iter, "stop": self.max_iters, "skip": self.left_out}
        sampler = IterationSampler.of(*of, **span)
        options = {k: v for k, v in self.cfg.train_dataloader.items() if k != "dataset"}
        options["pin_memory"] = options.get("pin_memory", True) and self.device.type == "cuda"
        loader = train_loader(self.train_dataset, sampler, **options)
        self.train_dataloader = self.dataloader = loader
        batches = None
        try:
            with held_back(options.get("start_method")):
                batches = iter(loader)
            ahead = self.fast.prefetch
            self.iterate(prefetched(batches, self.device) if ahead else batches)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise while_training(self, error) from error
            if self.deterministic and "deterministic" in str(error):
                first = str(error).splitlines()[0]
                raise UserError(f"config: deterministic = True: {first}") from error
            raise from_worker(error) from error  # a worker's death is raised wherever we are
        finally:
            shut_down(batches)

    def iterate(self, batches: Iterator[Any]) -> None:
        """Train on ``batches`` until ``max_iters``, or until asked to stop."""
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

            self.call_hook("before_train_iter", batch_idx=self.iter, data_batch=batch)
            # Dropout and the like draw from (seed, iteration, rank): the same after a resume.
            outputs = self.step(batch, step_seed(self.seed, self.iter, self.rank))
            done = self.iter + 1
            if done == self.max_iters or done % agree_every == 0:
                self.check_stop()
            self.call_hook(
                "after_train_iter", batch_idx=self.iter, data_batch=batch, outputs=outputs
            )
            self.iter = done

    def check_stop(self) -> None:
        """Ask all ranks whether one was told to stop; they call this at the same iteration."""
        self.stop_training = self.stop.agreed(self.device) or self.stop_training

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
        content = checkpoint.capture(self, iteration)
        self.last_saved = iteration
        if self.rank == 0:
            path = checkpoint.save_iteration(content, self.work_dir, iteration, keep)
            self.log.debug(f"saved {path}")
        launch.barrier()

    def _require_unchanged_data(self) -> None:
        """The packs are those that this process opened; called by all ranks.

        Raises:
            UserError: on all ranks, where one is not.
        """
        found = (store.changed() for _, store in stores(self.train_dataset))
        faults = launch.gather(next(filter(None, found), ""))
        if any(faults):
            launch.report_once()
            kept = self.last_good_checkpoint
            raise UserError(
                f"{next(filter(None, faults))}; restore it and --resume, from "
                f"{kept.name if kept else 'the start'}: nothing was saved"
            )

    def resume(self, wanted: Path | None = None) -> bool:
        """Continue from the newest readable checkpoint, or from ``wanted``; False: none there."""
        say = self.log.warn
        found = checkpoint.find_resumable(self.work_dir, wanted, say) if self.rank == 0 else None
        path = launch.broadcast(str(found[0]) if found else None)
        if path is not None:
            state = found[1] if found else checkpoint.read_checkpoint(Path(path))
            checkpoint.restore(self, state, path)
        return path is not None

    @property
    def last_good_checkpoint(self) -> Path | None:
        """The newest checkpoint on disk."""
        return next((path for _, path in checkpoint.iteration_files(self.work_dir)), None)
