"""Training checkpoints: what they hold of a run, written atomically, read back with a fallback.

And the folder that they lie in: who holds it, and what happens to an earlier run in it.
"""

from __future__ import annotations

import datetime
import io
import re
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import superres
from superres.checkpoints.networks import full_config
from superres.checkpoints.state_dict import load_strictly
from superres.checkpoints.weight_files import open_weights
from superres.datasets.joined import leaves
from superres.engine.config.values import to_plain
from superres.engine.run_log import keep_folder
from superres.errors import UserError
from superres.files import Lock, os_fault, remove_leftovers, write_atomically, write_text

from .optim import schedulers

if TYPE_CHECKING:
    from .trainer import Trainer

LAST, BEST = "last_checkpoint", "best.pth"
_OWN = (LAST, BEST, "iter_*.pth", "log.jsonl", "config.py", "tensorboard", "vis_data")
_NAME = re.compile(r"iter_(\d+)\.pth")
_LIKE_WEIGHTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg")
_UNFIT = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""What comes of a checkpoint that holds something else than ours."""


# -- what a checkpoint holds ---------------------------------------------------------------------


def weights(run: Trainer, iteration: int) -> dict[str, Any]:
    """The weights after ``iteration`` iterations and what hooks add, such as averaged ones."""
    facts = _facts(run)
    # With today's defaults written out: a later change of one must not change old weights.
    model = facts["config"]["model"]
    model = {**model, "backbone": full_config(model["backbone"])}
    meta = {
        "superres": superres.__version__,
        "torch": torch.__version__,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "iter": iteration,
        "seed": run.seed,
        "scale": facts["config"]["scale"],
        "global_batch_size": run.cfg.global_batch_size,
        "model": model,
        **facts,
        "earlier": [part for part in run.earlier if part != facts],
    }
    content = {"meta": meta, "state_dict": run.module.state_dict()}
    run.call_hook("before_save_checkpoint", checkpoint=content)
    return content


def _facts(run: Trainer) -> dict[str, Any]:
    """What the weights depend on, which a resumed run may change."""
    parts = [part for _, part in leaves(run.train_dataset)]
    lq = [str(part.lq.path) for part in parts if getattr(part, "lq", None) is not None]
    return {"config": to_plain(run.cfg), "pictures": run.image_count, "lq": lq}


def capture(run: Trainer, iteration: int) -> dict[str, Any]:
    """Everything that the run needs to continue after ``iteration`` iterations."""
    return {
        **weights(run, iteration),
        "optimizer": run.optim_wrapper.state_dict(),
        # OneCycleLR's has a function in it, which its constructor sets again.
        "param_schedulers": [
            {key: value for key, value in scheduler.state_dict().items() if not callable(value)}
            for scheduler in run.param_schedulers
        ],
    }


def restore(run: Trainer, content: dict[str, Any], path: str) -> None:
    """The way back from :func:`capture`; ``path`` is for messages.

    Raises:
        UserError: a checkpoint of another model or optimiser.
    """
    load_strictly(run.module, content["state_dict"], path)
    try:
        then, done = content["meta"], content["meta"]["iter"]
        _check_optimizer(run.optim_wrapper.optimizer, content["optimizer"])
        run.optim_wrapper.load_state_dict(content["optimizer"])
        run.iter = run.last_saved = done
        _restore_schedule(run, content, then)
        run.earlier = [*then.get("earlier", ()), {k: then.get(k) for k in _facts(run)}]
        run.call_hook("after_load_checkpoint", checkpoint=content)
        _warn_of_changes(run, then)
    except _UNFIT as error:
        raise UserError(
            f"{path}: what it holds does not fit the config ({type(error).__name__}: "
            f"{str(error).partition(chr(10))[0][:200]}); resume from another"
        ) from error
    run.log.say(f"resumed from {path} at iteration {run.iter}")


def _warn_of_changes(run: Trainer, then: Mapping[str, Any]) -> None:
    """What the samples depend on, and is not what it was."""
    before, now = then.get("config", {}), to_plain(run.cfg)
    count = run.image_count
    facts = {
        "seed": (then.get("seed"), run.seed),
        "training images": (then.get("pictures", count), count),  # not in older files
        **{key: (before.get(key), now.get(key)) for key in ("global_batch_size", "train_set")},
    }
    for key, (old, new) in facts.items():
        if old != new:
            run.log.warn(
                f"{key} {new!r} differs from the checkpoint's {old!r}: sampling will differ "
                "from an uninterrupted run"
            )


def _restore_schedule(run: Trainer, content: dict[str, Any], then: Mapping[str, Any]) -> None:
    """The learning rate continues, unless the config now asks for another schedule."""
    before = then.get("config", {})
    keys = ("param_scheduler", "optim_wrapper")
    if all(to_plain(run.cfg.get(key)) == before.get(key) for key in keys):
        for scheduler, saved in zip(run.param_schedulers, content["param_schedulers"]):
            known = scheduler.state_dict()
            scheduler.load_state_dict({k: v for k, v in saved.items() if k in known})
        return
    run.log.warn(
        "the optimiser or the schedule in the config differs from the checkpoint's: the "
        f"config's learning rate for iteration {run.iter} is used"
    )
    for group, lr in zip(run.optim_wrapper.optimizer.param_groups, run.first_lrs):
        group["lr"] = group["initial_lr"] = lr
    run.param_schedulers = schedulers(run.cfg, run.optim_wrapper)
    for _ in range(run.iter):
        for scheduler in run.param_schedulers:
            scheduler.step()


def _check_optimizer(optimizer: torch.optim.Optimizer, saved: Any) -> None:
    """Compare an optimiser's state from a checkpoint with the one that is to take it over.

    The kernels that update weights trust the sizes of what the optimiser remembers: numbers for
    another size would be read and written beyond their end.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, IndexError: they do not fit.
    """
    for mine, other in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        # Switches come with new versions of PyTorch; what is not a switch was always there.
        if lacking := [k for k in mine if k not in other and not isinstance(mine[k], bool | None)]:
            raise KeyError(lacking[0])
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, state in saved["state"].items():
        # Other optimisers are free in what else they keep; None is before the first step.
        for name in [name for name in _LIKE_WEIGHTS if state.get(name) is not None]:
            value, shape = state[name], parameters[index].shape
            if value.shape != shape or value.layout is not torch.strided:
                raise ValueError(f"{name} of weight {index} is {tuple(value.shape)}")


# -- files ---------------------------------------------------------------------------------------


def iteration_files(folder: Path) -> list[tuple[int, Path]]:
    """All ``iter_N.pth`` of a folder, newest first."""
    found = [(_NAME.fullmatch(path.name), path) for path in folder.glob("iter_*.pth")]
    return sorted(((int(match[1]), path) for match, path in found if match), reverse=True)


def plain(value: Any) -> Any:
    """Containers as dict, list and tuple, so that ``torch.load(weights_only=True)`` opens them."""
    if isinstance(value, Tensor):  # whatever layout the training prefers
        return value.detach().contiguous()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return (tuple if isinstance(value, tuple) else list)(map(plain, value))
    if isinstance(value, str):  # torch's version is of a subclass
        return str(value)
    if hasattr(value, "item"):  # numpy's scalars
        return value.item()
    if isinstance(value, bool | int | float | None):
        return value
    raise TypeError(f"{type(value).__name__} cannot stand in a checkpoint: {value!r}")


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint so that ``path`` is, at any moment, absent, the old one or the new one.

    Raises:
        UserError: no room or no permission; what was there before is untouched.
    """
    content = {key: to_plain(v) if key == "meta" else plain(v) for key, v in state.items()}
    buffer = io.BytesIO()  # torch's writer hides why a file cannot be written
    torch.save(content, buffer)
    try:
        keep_folder(path.parent)
        write_atomically(path, lambda file: file.write(buffer.getbuffer()), durable=True)
    except (UserError, OSError) as error:
        advice = "Make room and start again"
        for _, kept in iteration_files(path.parent)[:1]:
            advice = f"The one before it, {kept.name}, is whole; make room, continue with --resume"
        raise UserError(f"could not save {str(error).rstrip('. ')}. {advice}") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read and verify a training checkpoint.

    Raises:
        UserError: missing, damaged (every entry's checksum is compared), or not a checkpoint of a
            training of this package.
    """
    try:
        state, _ = open_weights(path)
    except (OSError, UserError) as error:
        raise UserError(f"checkpoint {error}") from error
    if not isinstance(state, dict) or "state_dict" not in state:
        raise UserError(f"{path} is not a training checkpoint of superres: it has no state_dict")
    return state


def find_resumable(
    folder: Path, wanted: Path | None, say: Callable[[str], Any]
) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint of ``folder`` that can be read, at most as new as ``wanted``.

    Args:
        folder: a work dir.
        wanted: start from this one instead of the newest.
        say: called with a line for each checkpoint that is passed over.

    Returns:
        (path, state), or None where the folder has no checkpoint.

    Raises:
        UserError: ``wanted`` does not exist, or every checkpoint is damaged.
    """
    candidates = [path for _, path in iteration_files(folder)]
    if wanted is not None:
        if not wanted.is_file():
            hint = f"a folder; write --work-dir {wanted} --resume"
            what = hint if wanted.is_dir() else "no such file"
            raise UserError(f"cannot resume from {wanted}: {what}")
        match = _NAME.fullmatch(wanted.name)
        limit = int(match[1]) if match else -1
        candidates = [wanted, *(p for n, p in iteration_files(wanted.parent) if n < limit)]
    reasons = []
    for path in candidates:
        try:
            state = read_checkpoint(path)
            if "optimizer" in state:
                return path, state
            hint = "use it as load_from, or resume from an iter_N.pth"
            raise UserError(f"checkpoint {path} holds weights only, nothing to resume from; {hint}")
        except UserError as error:
            reasons.append(str(error))
            if path is not candidates[-1]:
                say(f"{error}; falling back to the checkpoint before it")
    if reasons:
        raise UserError("no checkpoint can be resumed from: " + "; ".join(reasons))
    return None


def save_iteration(state: dict[str, Any], folder: Path, iteration: int, keep: int | None) -> Path:
    """Save ``iter_N.pth``, name it in ``last_checkpoint``, then delete all but ``keep``."""
    path = folder / f"iter_{iteration}.pth"
    save_atomically(state, path)
    write_text(folder / LAST, f"{path.name}\n")
    for number, old in iteration_files(folder)[keep:] if keep else ():
        if number < iteration:
            old.unlink(missing_ok=True)
    return path


# -- the folder ----------------------------------------------------------------------------------


def open_work_dir(path: Path, warn: Callable[[str], None] = lambda _: None) -> Lock:
    """Make the folder, keep a second run out of it, and remove what a killed one left half written.

    Raises:
        UserError: a file is in the way, no permission, no room, or another process holds it; the
            message says which, where and since when.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"work dir {os_fault(path, error, 'folder', writing=True)}") from error
    busy = f"work dir {path} is in use by {{holder}}; wait for it or choose another with --work-dir"
    lock = Lock(path / ".lock", busy, warn)
    remove_leftovers(path)  # not before: what another run is writing looks the same
    return lock


def set_aside(path: Path, beyond: int | None = None) -> Path | None:
    """Move an earlier run's files into ``previous_runs/TIME/``; None where there are none.

    Args:
        path: the work dir.
        beyond: only its checkpoints beyond this iteration, and the best one if there are any.
    """
    if beyond is None:
        files = sorted({found for pattern in _OWN for found in path.glob(pattern)})
    else:
        files = [file for number, file in iteration_files(path) if number > beyond]
        files += path.glob(BEST) if files else []
    if not files:
        return None
    now = datetime.datetime.now()
    target = path / "previous_runs" / now.strftime("%Y%m%d_%H%M%S_%f")
    target.mkdir(parents=True)
    for file in files:
        shutil.move(str(file), target / file.name)
    return target
