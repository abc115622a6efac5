"""A training tried before it is started: ``superres train CONFIG --check``."""

from __future__ import annotations

import datetime
import os
import shutil
import tempfile
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.config import Config

from superres.engine.config.check import scale_lr
from superres.engine.config.load import load_config
from superres.engine.config.values import differing, to_plain
from superres.engine.distributed import launch
from superres.engine.run_log import RunLog
from superres.errors import UserError, some
from superres.files import os_fault

from .build import build_trainer, introduction
from .checkpoint import iteration_files

ITERATIONS = 5


class _First:
    """The first image of a set, as a set."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def __len__(self) -> int:
        return 1


def try_out(
    cfg: Config,
    device: torch.device,
    work_dir: Path,
    log: RunLog,
    resume: str | os.PathLike | None = None,
) -> int:
    """Some iterations, one image of each set and one checkpoint, in a folder that goes again.

    Args:
        cfg: complete and checked.
        work_dir: of the training itself; nothing is written there.
        resume: 'auto' or a checkpoint, from which the training is to go on.

    Returns:
        The exit code.

    Raises:
        UserError: whatever would end the training, and a disk too small for its checkpoints.
    """
    cfg.seed = cfg.get("seed") or 0
    scale_lr(cfg)
    disk = next(folder for folder in (work_dir, *work_dir.absolute().parents) if folder.is_dir())
    quiet, shown, changed = RunLog(log.rank, level="WARNING"), [], _differences(cfg)
    quiet.listeners.append(lambda mode, _, values: shown.append((mode, values)))
    total, every = cfg.max_iters, cfg.get("checkpoint_interval") or cfg.max_iters
    cfg.log_interval = 1
    own = nullcontext()
    try:
        if log.rank == 0:  # one for all ranks, on the disk of the work dir
            own = tempfile.TemporaryDirectory(prefix=".check-", dir=disk)
    except OSError as error:
        raise UserError(os_fault(disk, error, "folder", writing=True)) from error
    with own as name:
        folder = Path(launch.broadcast(name))
        trainer = build_trainer(cfg, device, folder, quiet)
        trainer.vis_backends.clear()  # nothing is sent to a server
        for line in introduction(trainer):
            log.say(line.replace(str(folder), str(work_dir)))
        images = sum(len(scored.dataset) for scored in trainer.eval_sets)
        for scored in trainer.eval_sets:
            scored.dataset = _First(scored.dataset)
        newest = next((path for _, path in iteration_files(work_dir)), None)
        wanted = newest if resume in (None, "auto") else Path(resume)
        if resume and wanted:
            trainer.resume(wanted)
        elif newest:
            log.say(f"the run in {work_dir} will be moved to previous_runs/")
        start = trainer.iter
        if start >= total:
            log.say(f"nothing to do: already at iteration {start}/{total}")
            return 0
        trainer.max_iters = start + ITERATIONS
        code = trainer.train()
        launch.barrier()
        if code or log.rank:
            return code
        size = (folder / f"iter_{start + ITERATIONS}.pth").stat().st_size
    lines = [values for mode, values in shown if mode == "train"]
    rate = median(line["it_per_s"] for line in lines[1:])
    kept = min(cfg.get("max_keep_checkpoints") or total, -(-total // every))
    needed, free = size * (kept + 2), shutil.disk_usage(disk).free  # best.pth, one being written
    text = f"checkpoints of {size / 2**20:.3g} MiB, {needed / 2**20:,.3g} MiB in all"
    if needed > free:
        raise UserError(
            f"work dir {work_dir}: {text}, but {free / 2**20:,.3g} MiB are free there; lower "
            "max_keep_checkpoints, or make room"
        )
    left = datetime.timedelta(seconds=round((total - start) / rate))
    log.say(
        f"tried: {ITERATIONS} iterations, {rate:.3g} a second: {total - start:,} take {left} and "
        f"the validations, of {images} images each {cfg.get('val_interval') or total:,} "
        f"iterations; peak memory {lines[-1]['memory_mb']:,.0f} MiB; {text}. {changed}"
    )
    return 0


def _differences(cfg: Config) -> str:
    """What the config and the command line change of the config that it inherits from.

    A config that is made of parts alone is its own base.
    """
    if not cfg.filename:
        return ""
    whole = [f for f in map(Path, Config._get_base_files(cfg.filename)) if "_base_" not in f.parts]
    base = whole[0] if len(whole) == 1 else Path(cfg.filename)
    plain = load_config(str(base), warn=lambda _: None)  # the notes were there already
    changed = differing(to_plain(plain), to_plain(cfg))
    keys = [key for key in changed if "." not in key or key.rpartition(".")[2] not in changed]
    values = {key: ["nothing" if v is None else v for v in changed[key]] for key in keys}
    shown = (f"{key} = {now} ({before})" for key, (before, now) in values.items())
    return f"Other than in {base.name}: {some(shown, 20) or 'nothing'}"
