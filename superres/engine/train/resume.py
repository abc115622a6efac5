"""What a checkpoint holds of a run, and how a run becomes what it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

import superres
from superres.checkpoints.formats.base import full_config
from superres.checkpoints.state import load_strictly
from superres.datasets.joined import leaves
from superres.engine.config.values import to_plain
from superres.errors import UserError

from .optim import schedulers
from .validate_checkpoint import check_meta, check_optimizer, check_schedule

if TYPE_CHECKING:
    from .trainer import Trainer


def meta(run: Trainer, iteration: int) -> dict[str, Any]:
    """What is known about the weights, beside them in every file."""
    model = to_plain(run.cfg.model)
    # With today's defaults written out: a later change of one must not change old weights.
    model = {**model, "backbone": to_plain(full_config(model["backbone"]))}
    return {
        "superres": superres.__version__,
        "torch": torch.__version__,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "iter": iteration,
        "seed": run.seed,
        "scale": to_plain(run.cfg.scale),
        "global_batch_size": run.cfg.global_batch_size,
        "model": model,
        **_facts(run),
        "earlier": [part for part in run.earlier if part != _facts(run)],
    }


def _facts(run: Trainer) -> dict[str, Any]:
    """What the weights depend on, which a resumed run may change."""
    parts = [part for _, part in leaves(run.train_dataset)]
    lq = [part.lq_from for part in parts if getattr(part, "lq_from", None)]
    return {"config": to_plain(run.cfg), "pictures": run.image_count, "lq": lq}


def weights(run: Trainer, iteration: int) -> dict[str, Any]:
    """The weights after ``iteration`` iterations and what hooks add, such as averaged ones."""
    content = {"meta": meta(run, iteration), "state_dict": run.module.state_dict()}
    run.call_hook("before_save_checkpoint", checkpoint=content)
    return content


def capture(run: Trainer, iteration: int) -> dict[str, Any]:
    """Everything that the run needs to continue after ``iteration`` iterations."""
    return {
        **weights(run, iteration),
        "optimizer": run.optim_wrapper.state_dict(),
        "param_schedulers": [s.state_dict() for s in run.param_schedulers],
    }


def restore(run: Trainer, content: dict[str, Any], path: str) -> None:
    """The way back from :func:`capture`; ``path`` is for messages.

    Raises:
        UserError: a checkpoint of another model or optimiser.
    """
    then = check_meta(content, path)
    load_strictly(run.module, content["state_dict"], path)
    check_optimizer(run.optim_wrapper.optimizer, content["optimizer"], path)
    try:
        run.optim_wrapper.load_state_dict(content["optimizer"])
    except (ValueError, KeyError) as error:
        raise UserError(f"{path}: its optimiser state does not fit the config: {error}") from error
    run.iter = then["iter"]
    try:
        _restore_rest(run, content, then)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(
            f"{path}: no whole training checkpoint of superres ({type(error).__name__}: "
            f"{str(error).splitlines()[0][:200] if str(error) else ''}); resume from another"
        ) from error
    run.log.say(f"resumed from {path} at iteration {run.iter}")


def _restore_rest(run: Trainer, content: dict[str, Any], then: Mapping[str, Any]) -> None:
    _restore_schedule(run, content, then)
    run.earlier = [*then.get("earlier", ()), {k: then.get(k) for k in _facts(run)}]
    run.last_saved = run.iter
    run.call_hook("after_load_checkpoint", checkpoint=content)
    others = "from here on other samples are drawn than an uninterrupted run would have drawn"
    if then.get("seed") != run.seed:
        run.log.warn(f"seed {run.seed} differs from the checkpoint's {then.get('seed')}: {others}")
    before = then.get("config", {}).get("train_set")
    count = then.get("pictures", run.image_count)  # older files do not tell
    now = to_plain(run.cfg.get("train_set"))
    if (before, count) != (now, run.image_count):
        run.log.warn(
            f"train_set {now!r} with {run.image_count} pictures differs "
            f"from the checkpoint's {before!r} with {count}: {others}"
        )
    if then.get("global_batch_size") != run.cfg.global_batch_size:
        run.log.warn(
            f"global_batch_size {run.cfg.global_batch_size} differs from the checkpoint's "
            f"{then.get('global_batch_size')}"
        )


def _restore_schedule(run: Trainer, content: dict[str, Any], then: Mapping[str, Any]) -> None:
    """The learning rate continues, unless the config now asks for another schedule."""
    before = then.get("config", {})
    same = all(
        to_plain(run.cfg.get(key)) == before.get(key)
        for key in ("param_scheduler", "optim_wrapper")
    )
    if same:
        for scheduler, saved in zip(run.param_schedulers, content["param_schedulers"]):
            known = scheduler.state_dict().keys()
            check_schedule(saved)
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
