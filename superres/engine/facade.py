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
from superres.engine.run_log import RunLog
from superres.registry import VISUALIZERS

_TRIED = {"TensorboardVisBackend", "WandbVisBackend"}


class Facade:
    """Base class of what trains and what tests: their hooks, and mmengine's names for the rest.

    Attributes:
        hooks: in the order of their priorities; see :meth:`register_hook`.
    """

    work_dir: Path
    cfg: Config
    log: RunLog
    eval_sets: list[Any]
    hooks: list[Hook]
    train_dataloader: Any = None
    """The loader, while iterations run."""

    def __post_init__(self) -> None:
        self.timestamp = time.strftime("%Y%m%d_%H%M%S")
        self.experiment_name = f"{self.work_dir.name}_{self.timestamp}"
        self.log_dir = str(self.work_dir)
        # Its iter, max_iters, epoch, max_epochs, stop_training; and what it iterates over.
        self.train_loop = self._train_loop = self

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

    @property
    def dataloader(self) -> Any:
        """Of the training."""
        return self.train_dataloader

    @property
    def val_dataloader(self) -> list[Any]:
        """The data sets that a validation goes through."""
        return [scored.dataset for scored in self.eval_sets]

    @property
    def val_loop(self) -> Any:
        """Its ``dataloader``."""
        return SimpleNamespace(dataloader=self.val_dataloader)

    test_dataloader, test_loop = val_dataloader, val_loop

    @cached_property
    def vis_backends(self) -> list[dict[str, Any]]:
        """The config's and, unless ``tensorboard`` is off or not installed, TensorBoard's."""
        cfg = to_plain(self.cfg)
        found = (cfg.get("visualizer") or {}).get("vis_backends") or cfg.get("vis_backends") or []
        names = [backend["type"] for backend in found]
        if "LocalVisBackend" in names:
            self.log.say("LocalVisBackend has no effect here (log.jsonl is in the work dir)")
            found = [backend for backend in found if backend["type"] != "LocalVisBackend"]
        if others := sorted({*names} - _TRIED - {"LocalVisBackend"}):
            self.log.say(f"{', '.join(others)}: used through mmengine, not tested by superres")
        if cfg.get("tensorboard", True) is not False and "TensorboardVisBackend" not in names:
            if importlib.util.find_spec("tensorboard"):
                found = [*found, {"type": "TensorboardVisBackend"}]
            else:
                self.log.say(
                    "no TensorBoard curves: the package is not installed "
                    "(pip install 'superres[tensorboard]', or tensorboard=False in the config)"
                )
        folder = {"save_dir": str(self.work_dir / "tensorboard")}
        return [{**(folder if "Tensorboard" in b["type"] else {}), **b} for b in found]

    @cached_property
    def visualizer(self) -> Any:
        """mmengine's, over :attr:`vis_backends`; made when it is asked for, as it takes matplotlib.

        Raises:
            UserError: arguments that do not fit.
        """
        given = {"type": "Visualizer", **to_plain(self.cfg.get("visualizer") or {})}
        given["name"] = f"{self.experiment_name}_{time.time_ns()}"  # a second one may not share it
        given |= {"vis_backends": self.vis_backends, "save_dir": self.log_dir}
        with blame("visualizer", given):
            return VISUALIZERS.build(given)
