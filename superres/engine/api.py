"""Training and testing as calls: what a notebook uses instead of the commands."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from superres.errors import UserError


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

    def model(self, **options: Any) -> torch.nn.Module:
        """The trained network, ready for ``.upscale(image)``; options of `load_model`."""
        from superres.checkpoints import load_model

        if self.checkpoint is None:
            raise UserError(f"{self.work_dir}: there is no checkpoint yet; train for longer")
        return load_model(self.checkpoint, **options)


def train(
    config_or_name: Any,
    *,
    work_dir: str | os.PathLike | None = None,
    resume: str | os.PathLike | None = None,
    seed: int | None = None,
    amp: bool = False,
    options: dict[str, Any] | None = None,
    **overrides: Any,
) -> TrainingRun:
    """Train a network in this process, as ``superres train`` does.

    >>> run = superres.train("edsr_x2c64b16_g1_300k_div2k", max_iters=1000)  # doctest: +SKIP
    >>> run.model().upscale("photo.png")  # doctest: +SKIP

    Args:
        config_or_name: path of a config, the bare name of one that comes with the package, or a
            `mmengine.config.Config` that is complete.
        work_dir: default ``work_dirs/<config name>``.
        resume: 'auto' goes on from the newest checkpoint of the work dir; or a checkpoint.
        seed, amp: instead of the config's.
        options: changes to nested keys, ``{'optim_wrapper.optimizer.lr': 2e-4}``.
        **overrides: changes to top-level keys: ``scale=3, train_set='folder', num_workers=0``.

    Raises:
        UserError: whatever can be put right: an unknown key (with near matches), a missing set.
    """
    from .entry import train as run
    from .train.checkpoint import BEST, iteration_files

    folders: list[Path] = []
    changes = {**overrides, **(options or {})}
    code = run(config_or_name, work_dir, resume, seed, amp, options=changes, told=folders.append)
    best = folders[0] / BEST
    newest = next((path for _, path in iteration_files(folders[0])), None)
    return TrainingRun(folders[0], best if best.is_file() else newest, code == 0)


def test(
    config_or_name: Any,
    checkpoint: str | os.PathLike,
    *,
    out: str | os.PathLike | None = None,
    options: dict[str, Any] | None = None,
    sets: list[str] | None = None,
    protocols: list[str] | None = None,
    self_ensemble: bool = False,
    tile: int | str | None = None,
    save_images: bool = False,
    report: bool = False,
    published: bool = False,
    **overrides: Any,
) -> dict[str, Any]:
    """Score a checkpoint in this process, as ``superres test`` does.

    >>> superres.test(config, run.checkpoint, test_sets=["Set5"])["results"]  # doctest: +SKIP

    Args:
        config_or_name, options, overrides: as in :func:`train`.
        checkpoint: one of a training, or a published weight file.
        out: also write ``results.json``, the tables and, if asked for, pictures and report there.
        sets, protocols, self_ensemble, tile, save_images, report, published: as the command's
            options.

    Returns:
        What ``results.json`` holds; ``['results']`` has an entry for each set and protocol.

    Raises:
        UserError: whatever can be put right, and that nothing could be scored.
    """
    from .entry import test as run

    if out is None and (save_images or report):
        raise UserError("save_images and report need out=FOLDER")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(out or temporary)
        run(
            config_or_name,
            checkpoint,
            out=str(folder),
            save_images=save_images,
            sets=sets,
            protocols=protocols,
            self_ensemble=self_ensemble,
            tile=None if tile is None else str(tile),
            options={**overrides, **(options or {})},
            report=report,
            published=published,
        )
        return json.loads((folder / "results.json").read_text(encoding="utf-8"))
