"""What a checkpoint holds of a run, and how a run becomes what it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import superres
from superres.checkpoints.networks import full_config
from superres.checkpoints.state_dict import load_strictly
from superres.datasets.joined import leaves
from superres.engine.config.values import to_plain
from superres.errors import UserError

from .optim import schedulers
from .speed.options import FORMS

if TYPE_CHECKING:
    from .trainer import Trainer

_LAST_ITERATION = 10**9
_LARGEST = 1e18
_LIKE_WEIGHTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg")
_UNFIT = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""What comes of a checkpoint that holds something else than ours."""


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
    lq = [str(part.lq.path) for part in parts if getattr(part, "lq", None) is not None]
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
    then = content.get("meta")
    done = then.get("iter") if isinstance(then, Mapping) else None
    if type(done) is not int or not 0 <= done <= _LAST_ITERATION:
        raise UserError(
            f"{path}: no whole training checkpoint, its iteration is {str(done)[:40]}; resume from "
            "another"
        )
    load_strictly(run.module, content["state_dict"], path)
    try:
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
    count = then.get("pictures", run.image_count)  # older files do not tell
    before = {
        "seed": (then.get("seed"), run.seed),
        "global_batch_size": (then.get("global_batch_size"), run.cfg.global_batch_size),
        "train_set": (
            f"{then.get('config', {}).get('train_set')!r} with {count} pictures",
            f"{to_plain(run.cfg.get('train_set'))!r} with {run.image_count} pictures",
        ),
    }
    for key, (was, now) in before.items():
        if was != now:
            run.log.warn(
                f"{key} {now} differs from the checkpoint's {was}: from here on other samples are "
                "drawn than an uninterrupted run would have drawn"
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
            known = scheduler.state_dict()
            for key in ("last_step", "_global_step", "base_values", "_last_value"):
                if not _alike(known[key], saved[key]):
                    raise ValueError(f"{key} of its schedule is {str(saved[key])[:40]}")
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
    weights: list[Tensor] = []
    for mine, other in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        first = len(weights)
        weights += mine["params"]
        if other["params"] != list(range(first, len(weights))):
            raise ValueError("its groups are of other weights")
        for key in mine.keys() - {"params", *FORMS}:
            # Switches come with new versions of PyTorch; what is no switch was always there.
            new = key not in other and isinstance(mine[key], bool | None)
            if not new and not _alike(mine[key], other[key]):
                raise ValueError(f"{key} = {str(other[key])[:40]}")
    kept = saved["state"]
    for index, state in kept.items():
        if state.keys() != kept[min(kept)].keys():
            raise ValueError(f"of weight {index} it keeps {', '.join(map(str, state))}")
        for name, value in state.items():
            # Optimisers of others are free in what else they keep; None is before the first step.
            own = 0.0 if name == "step" else weights[index]
            known = name in ("step", *_LIKE_WEIGHTS) and (name, value) != ("momentum_buffer", None)
            if known and not _alike(own, value):
                raise ValueError(f"{name} of weight {index} is {str(value)[:40]}")


def _alike(own: Any, saved: Any) -> bool:
    """Whether a value of a checkpoint can take the place of this run's."""
    if isinstance(own, Tensor) and own.numel() > 1:
        return _is_plain(saved) and saved.shape == own.shape
    if isinstance(own, bool | None):
        return saved is own
    if isinstance(own, list | tuple):
        fits = isinstance(saved, list | tuple) and len(saved) == len(own)
        return fits and all(map(_alike, own, saved))
    if isinstance(own, int | float | Tensor):  # a tensor: of a run that CUDA graphs were used in
        plain = type(saved) in (int, float) or (_is_plain(saved) and saved.numel() == 1)
        return plain and abs(float(saved)) < _LARGEST
    return isinstance(saved, type(own))


def _is_plain(value: Any) -> bool:
    dense = isinstance(value, Tensor) and value.layout is torch.strided and not value.is_nested
    return dense and not value.is_quantized and not value.is_meta and value.is_floating_point()
