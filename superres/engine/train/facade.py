"""What hooks of OpenMMLab's toolboxes find on their ``runner``, beside the trainer's own names."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any


class TrainLoop:
    """``runner.train_loop``: progress, and the way to end a training early."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    @property
    def stop_training(self) -> bool:
        """Whether the training ends after this iteration; all processes must set it alike."""
        return self._trainer.stopping

    @stop_training.setter
    def stop_training(self, value: bool) -> None:
        self._trainer.stopping = value

    def __getattr__(self, name: str) -> Any:
        if name not in ("iter", "max_iters", "epoch", "max_epochs", "dataloader"):
            raise AttributeError(name)
        return getattr(self._trainer, "train_dataloader" if name == "dataloader" else name)


class Facade:
    """The trainer's base class: mmengine's names for what it has under others."""

    work_dir: Any
    cfg: Any
    eval_sets: list[Any]
    train_dataloader: Any = None
    """The loader, while iterations run."""

    def __post_init__(self) -> None:
        self.timestamp = time.strftime("%Y%m%d_%H%M%S")
        self.experiment_name = f"{self.work_dir.name}_{self.timestamp}"
        self.train_loop = self._train_loop = TrainLoop(self)

    @property
    def log_dir(self) -> str:
        """The work dir."""
        return str(self.work_dir)

    @property
    def val_dataloader(self) -> list[Any]:
        """The data sets that a validation goes through."""
        return [scored.dataset for scored in self.eval_sets]

    @property
    def val_loop(self) -> Any:
        """Its ``dataloader``."""
        return SimpleNamespace(dataloader=self.val_dataloader)

    test_dataloader, test_loop = val_dataloader, val_loop
