"""Training and testing as calls: what a notebook uses instead of the commands."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superres.errors import UserError
from superres.models.layers.backbone import Backbone


@dataclass(frozen=True)
class TrainingRun:
    """What a training left.

    Attributes:
        work_dir: its folder: checkpoints, ``log.jsonl``, the resolved config.
        checkpoint: the best one, where sets were validated on, else the newest.
        finished: False after an interruption; ``resume='auto'`` goes on.
    """

    work_dir: Path
    checkpoint: Path | None
    finished: bool

    def model(self, **options: Any) -> Backbone:
        """The trained network, ready for ``.upscale(image)``; options of `load_model`."""
        from superres.checkpoints import load_model

        if self.checkpoint is None:
            raise UserError(f"{self.work_dir}: there is no checkpoint yet; train for longer")
        return load_model(self.checkpoint, **options)


def train(
    config_or_name: Any, *, options: dict[str, Any] | None = None, **wanted: Any
) -> TrainingRun:
    """Train a network in this process, as ``superres train`` does.

    >>> run = superres.train("edsr_x2c64b16_g1_300k_div2k", max_iters=1000)  # doctest: +SKIP
    >>> run.model().upscale("photo.png")  # doctest: +SKIP

    Args:
        config_or_name: path of a config, the bare name of one that comes with the package, or a
            `mmengine.config.Config` that is complete.
        options: changes to nested keys, ``{'optim_wrapper.optimizer.lr': 2e-4}``.
        **wanted: ``work_dir``, ``resume`` ('auto', or a checkpoint), ``seed``, ``amp`` and the
            others of :class:`superres.engine.entry.TrainOptions`; what else there is changes
            top-level keys of the config: ``scale=3, train_set='folder', num_workers=0``.

    Raises:
        UserError: whatever can be put right: an unknown key (with near matches), a missing set.
    """
    from .entry import TrainOptions
    from .entry import train as run
    from .train.checkpoint import BEST, iteration_files

    folders: list[Path] = []
    how = _taken(TrainOptions, wanted)
    code = run(config_or_name, {**wanted, **(options or {})}, folders.append, **how)
    best = folders[0] / BEST
    newest = next((path for _, path in iteration_files(folders[0])), None)
    return TrainingRun(folders[0], best if best.is_file() else newest, code in (0, 1))


def test(
    config_or_name: Any,
    checkpoint: str | os.PathLike[str],
    *,
    options: dict[str, Any] | None = None,
    **wanted: Any,
) -> dict[str, Any]:
    """Score a checkpoint in this process, as ``superres test`` does.

    >>> superres.test(config, run.checkpoint, test_sets=["Set5"])["results"]  # doctest: +SKIP

    Args:
        config_or_name, options: as in :func:`train`; None takes the network from the file.
        checkpoint: one of a training, or a published weight file.
        **wanted: ``out`` (a folder for ``results.json``, the tables and, if asked for, images and
            report), ``sets``, ``protocols``, ``self_ensemble``, ``tile`` and the others of
            :class:`superres.engine.test.runner.TestOptions`; what else there is changes top-level
            keys of the config.

    Returns:
        What ``results.json`` holds; ``['results']`` has an entry for each set and protocol.

    Raises:
        UserError: whatever can be put right, and that nothing could be scored.
    """
    from .entry import test as run
    from .test.runner import TestOptions

    how = _taken(TestOptions, wanted)
    TestOptions(**how)  # images and a report need a folder that stays
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(how.pop("out", None) or temporary)
        run(config_or_name, checkpoint, None, {**wanted, **(options or {})}, out=folder, **how)
        return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def _taken(kind: type, wanted: dict[str, Any]) -> dict[str, Any]:
    """What is among the fields of an options class, taken out of ``wanted``."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {key: wanted.pop(key) for key in names & wanted.keys()}
