"""What hooks of OpenMMLab's toolboxes find on their ``runner``, beside the trainer's own names."""

from __future__ import annotations

import importlib.util
import time
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner.priority import get_priority

from superres.engine.config.values import blame, to_plain
from superres.engine.distributed import launch
from superres.engine.run_log import RunLog
from superres.registry import VISUALIZERS


class Facade:
    """Base class of trainer and tester: calls hooks, and has the names of mmengine's Runner.

    Subclasses are dataclasses, which call ``__post_init__`` when they are made.

    Attributes:
        hooks: in the order of their priorities; see :meth:`register_hook`.
        eval_sets: the sets that are scored, :class:`superres.engine.test.sets.EvalSet`.
    """

    work_dir: Path
    cfg: Config
    log: RunLog
    eval_sets: list[Any]

    def __post_init__(self) -> None:
        self.hooks: list[Hook] = []
        self.iter, self.epoch, self.max_epochs = 0, 0, 1
        self.logger, self.log_dir = self.log.logger, str(self.work_dir)
        self.rank, self.world_size = launch.rank(), launch.world_size()
        self.timestamp = time.strftime("%Y%m%d_%H%M%S")
        self.experiment_name = f"{self.work_dir.name}_{self.timestamp}"
        # Hooks ask the loop for iter, max_iters, epoch, max_epochs, stop_training and, while
        # iterations run, dataloader: all are here. Training counts iterations, in one epoch.
        self.train_loop = self._train_loop = self
        self.train_dataloader = self.dataloader = None
        self.val_dataloader = self.test_dataloader = [s.dataset for s in self.eval_sets]
        self.val_loop = self.test_loop = SimpleNamespace(dataloader=self.val_dataloader)

    def register_hook(self, hook: Hook) -> None:
        """Insert by priority, behind those of the same priority."""
        self.hooks.append(hook)
        self.hooks.sort(key=lambda one: get_priority(one.priority))

    def call_hook(self, stage: str, **kwargs: Any) -> None:
        """Call a stage, such as ``after_train_iter``, of all hooks."""
        for hook in self.hooks:
            getattr(hook, stage)(self, **kwargs)

    @cached_property
    def vis_backends(self) -> list[dict[str, Any]]:
        """Where curves go: the config's back ends and, unless off or not installed, TensorBoard."""
        cfg = to_plain(self.cfg)
        wanted = (cfg.get("visualizer") or {}).get("vis_backends") or cfg.get("vis_backends") or []
        if cfg.get("tensorboard", True) is not False:
            wanted = [{"type": "TensorboardVisBackend"}, *wanted]
        found = {backend["type"]: backend for backend in wanted}  # the later of a type counts
        if found.pop("LocalVisBackend", None):
            self.log.say("LocalVisBackend has no effect here (log.jsonl is in the work dir)")
        if board := found.get("TensorboardVisBackend"):
            if importlib.util.find_spec("tensorboard"):
                board.setdefault("save_dir", str(self.work_dir / "tensorboard"))
            else:
                del found["TensorboardVisBackend"]
                self.log.say(
                    "no TensorBoard curves: the package is not installed "
                    "(pip install 'superres[tensorboard]', or tensorboard=False in the config)"
                )
        for kind in found.keys() - {"TensorboardVisBackend", "WandbVisBackend"}:
            self.log.say(f"{kind}: used through mmengine, not tested by superres")
        return [*found.values()]

    @cached_property
    def visualizer(self) -> Any:
        """mmengine's Visualizer over :attr:`vis_backends`; made when used, as it loads matplotlib.

        Raises:
            UserError: arguments that do not fit.
        """
        given = {"type": "Visualizer", **to_plain(self.cfg.get("visualizer") or {})}
        given["name"] = f"{self.experiment_name}_{time.time_ns()}"  # a second one may not share it
        given |= {"vis_backends": self.vis_backends, "save_dir": self.log_dir}
        with blame("visualizer", given):
            return VISUALIZERS.build(given)
