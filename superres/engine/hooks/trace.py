"""A record of what every iteration saw and gave."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from superres.errors import UserError
from superres.registry import HOOKS


@HOOKS.register_module()
class TraceHook(Hook):
    """Appends a JSON line per iteration and rank: what two runs are compared by.

    ``{"iter", "rank", "loss", "lr", "scale", "samples": [{"name", "draw", "top", "left",
    "view"}]}``; ``iter`` counts from 1, as in ``iter_N.pth``. A sample is the ``draw``-th of the
    training; its crop begins at (``top``, ``left``), in low-quality pixels, and is flipped and
    transposed as ``view`` says (0..7, see :mod:`superres.datasets.transforms.views`). Reading the
    loss each time holds up a GPU, so this is for checks, not for long runs.

    Args:
        path: the file; all ranks append to it.
    """

    priority = "HIGH"  # before the learning rate of the next iteration is set

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            if self.path.read_bytes()[-1:] not in (b"", b"\n"):
                os.write(self._file, b"\n")  # a line that a full disk cut off stays by itself
        except OSError as error:
            raise UserError(f"--trace {path}: {error.strerror}") from error

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any, outputs: Any) -> None:
        """Write the line, in one call, so that lines of several ranks don't mix."""
        keys, meta = ("name", "draw", "top", "left", "view"), data_batch["meta"]
        line = {
            "iter": runner.iter + 1,
            "rank": runner.rank,
            "loss": outputs["loss"].item(),
            "lr": runner.optim_wrapper.optimizer.param_groups[0]["lr"],
            "scale": meta[0].get("scale"),
            "samples": [{key: sample.get(key) for key in keys} for sample in meta],
        }
        rest = (json.dumps(line) + "\n").encode()
        try:
            while rest:  # what did not fit at once says why at the second try
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise UserError(
                f"--trace {self.path}: {error.strerror}; every checkpoint saved so far is whole, "
                "make room and continue with --resume"
            ) from error
