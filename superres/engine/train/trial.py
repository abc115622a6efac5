"""A training tried before it is started: ``superres train CONFIG --check``."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from superres.engine.config.load import load_config
from superres.engine.config.values import to_plain, walk
from superres.engine.distributed import launch
from superres.engine.run_log import RunLog
from superres.errors import UserError, some
from superres.inference.memory import peak_memory_mb

from .build import build_trainer
from .trainer import Trainer

ITERATIONS = 5


class _Clock(Hook):
    """When each iteration ended, before anything is validated or saved."""

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.times: list[float] = []

    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        if runner.device.type == "cuda":
            torch.cuda.synchronize(runner.device)
        self.times.append(time.perf_counter())


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
    introduce: Callable[[Trainer], list[str]],
) -> int:
    """Some iterations, one image of each set and one checkpoint, in a folder that goes again.

    Args:
        cfg: complete and checked, with a seed.
        work_dir: of the training itself; nothing is written there.
        introduce: the lines that a training starts with.

    Returns:
        The exit code.

    Raises:
        UserError: whatever would end the training, and a disk too small for its checkpoints.
    """
    quiet = RunLog(log.rank, level="WARNING")
    with _folder(work_dir) as folder:
        trainer = build_trainer(cfg, device, folder, quiet)
        for line in introduce(trainer):
            log.say(line.replace(str(folder), str(work_dir)))
        images = sum(len(scored.dataset) for scored in trainer.eval_sets)
        for scored in trainer.eval_sets:
            scored.dataset = _First(scored.dataset)
        total, trainer.max_iters, clock = trainer.max_iters, ITERATIONS, _Clock()
        trainer.register_hook(clock)
        code = trainer.train()
        launch.barrier()
        if code:
            return code
        ended = time.perf_counter()
        size = folder.joinpath(f"iter_{ITERATIONS}.pth").stat().st_size if log.rank == 0 else 0
    each = median(b - a for a, b in zip(clock.times, clock.times[1:]))
    hours = total * each / 3600
    log.say(
        f"tried: {ITERATIONS} iterations of {1000 * each:.3g} ms, one of {images} images to score "
        f"each {cfg.get('val_interval') or total:,} iterations, a checkpoint of {size / 2**20:.3g} "
        f"MiB; {ended - clock.times[-1]:.1f} s for these two"
    )
    log.say(
        f"{total:,} iterations take {hours:.3g} h and the validations; peak memory "
        f"{peak_memory_mb(device):,.0f} MiB" + (" of the GPU" if device.type == "cuda" else "")
    )
    kept, every = cfg.get("max_keep_checkpoints"), cfg.get("checkpoint_interval") or total
    needed = size * (min(kept or total, -(-total // every)) + 2)  # the best one; one being written
    free = shutil.disk_usage(_existing(work_dir)).free
    text = f"checkpoints take {needed / 2**30:.3g} GiB of the {free / 2**30:,.0f} GiB free there"
    if needed > free:
        raise UserError(f"work dir {work_dir}: {text}; lower max_keep_checkpoints, or make room")
    log.say(f"{text}. {_differences(cfg)}")
    return 0


@contextlib.contextmanager
def _folder(work_dir: Path) -> Iterator[Path]:
    """One folder for all ranks, on the disk of the work dir, that is removed afterwards."""
    with contextlib.ExitStack() as stack:
        name = None
        if launch.rank() == 0:
            made = tempfile.TemporaryDirectory(prefix=".check-", dir=_existing(work_dir))
            name = stack.enter_context(made)
        yield Path(launch.broadcast(name))


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())


def _differences(cfg: Config) -> str:
    """What the config and the command line change of the config that it inherits from.

    A config that is made of parts alone is its own base.
    """
    if not cfg.filename:
        return ""
    parts = [Path(file) for file in Config._get_base_files(cfg.filename)]
    whole = [file for file in parts if "_base_" not in file.parts]
    base = whole[0] if len(whole) == 1 else Path(cfg.filename)
    before, now = (
        {
            key: str(value)
            for key, value in walk(to_plain(one))
            if not isinstance(value, dict | list)
        }
        for one in (load_config(str(base)), cfg)
    )
    changed = [
        f"{key} = {now.get(key, 'left out')} ({before.get(key, 'not there')})"
        for key in before | now
        if before.get(key) != now.get(key)
    ]
    return f"Other than in {base.name}: {some(changed, 20) or 'nothing'}"
