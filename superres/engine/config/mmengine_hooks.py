"""mmengine's own hooks in a config: translated into superres's keys, or refused by name.

The training loop does what most of them are for. One that ran beside it would step the learning
rate twice, or average weights that validation never sees.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import mmengine.hooks
from mmengine.config import Config
from mmengine.runner.priority import Priority, get_priority

from superres.errors import UserError
from superres.registry import HOOKS

from .reading import Source
from .values import require, to_plain

ITERATIONS = "training counts iterations, not epochs"
_LOOP = "the training loop does this itself"
_BEST = "best.pth, which holds the weights of the best validation"
MMENGINE_HOOKS = {
    "CheckpointHook": "write checkpoint_interval, max_keep_checkpoints and save_best, or "
    "default_hooks = dict(checkpoint=dict(interval=N))",
    "LoggerHook": "write log_interval = N, or default_hooks = dict(logger=dict(interval=N))",
    "EMAHook": "validation would not see its average; write ema = 0.999",
    "EarlyStoppingHook": f"write max_iters = N, and use {_BEST}",
    "SyncBuffersHook": "buffers are rank 0's, as MMDistributedDataParallel hands them on",
    "ProfilerHook": "a hook of your own may use torch.profiler",
    "NPUProfilerHook": "a hook of your own may use torch.profiler",
    "NaiveVisualizationHook": "use 'superres test --save-images', or tensorboard = True",
    "PrepareTTAHook": "use 'superres test --self-ensemble'",
    "ParamSchedulerHook": _LOOP,
    "IterTimerHook": _LOOP,
    "RuntimeInfoHook": _LOOP,
    "DistSamplerSeedHook": _LOOP,
}
_BY_NAME = {
    "ExponentialMovingAverageHook": "write ema = 0.999",  # MMagic's and MMEditing's
    "BasicVisualizationHook": "write tensorboard = True",
    "EvaluationHook": "write val_interval = N and save_best",  # ours
    **{name: MMENGINE_HOOKS[name] for name in ("CheckpointHook", "LoggerHook")},
}
DEFAULT_HOOKS = {
    "checkpoint": "CheckpointHook",
    "logger": "LoggerHook",
    "timer": "IterTimerHook",
    "param_scheduler": "ParamSchedulerHook",
    "sampler_seed": "DistSamplerSeedHook",
    "runtime_info": "RuntimeInfoHook",
}
"""mmengine's own, which :func:`translate` reads; others in ``default_hooks`` are like custom ones.
``visualization`` is every toolbox's own."""


def translate_hooks(root: dict, source: Source, notes: list[str]) -> None:
    """Take those of mmengine's hooks out of ``custom_hooks`` that something else stands for."""
    entries, defaults = [], root.get("default_hooks")
    if isinstance(defaults, dict):
        for name in [n for n in defaults if n not in (*DEFAULT_HOOKS, "visualization")]:
            entries.append((f"default_hooks.{name}", defaults.pop(name)))
    custom = root.get("custom_hooks") or []
    if not isinstance(custom, list):
        return
    entries = [entry for entry in entries if entry[1] is not None]
    entries += [(f"custom_hooks.{i}", entry) for i, entry in enumerate(custom)]
    kept, averages = [], []
    for path, entry in entries:
        if not isinstance(entry, dict) or "type" not in entry:
            named = f"; mmengine's own are {', '.join(DEFAULT_HOOKS)}" if path[0] == "d" else ""
            raise UserError(f"config: {path} = {entry!r} must be a dict with a type{named}")
        if "priority" in entry:
            check_priority(path, entry["priority"])
        name = type_name(entry["type"])
        kind = HOOKS.get(entry["type"]) if isinstance(entry["type"], str) else entry["type"]
        if kind in (HOOKS.get("superres.EMAHook"), mmengine.hooks.EMAHook):
            if averages:
                raise UserError(
                    f"config: {averages[0]} and {path} both average; remove one of them"
                )
            averages.append(path)
            source.settle(root, path, "ema", _ema(path, entry))
            continue
        like = _mmengine_hook(kind)
        there = getattr(kind, "__module__", "").startswith("superres.engine.hooks.")
        by_name = kind is None or there
        advice = _BY_NAME.get(name, "") if by_name else MMENGINE_HOOKS.get(like, "")
        if advice is _LOOP and like == kind.__name__:
            notes.append(f"{path}: {name} ({_LOOP})")
        elif advice:
            of = f", a kind of {like}," if like and like != name else ""
            raise UserError(f"config: {path}: {name}{of} cannot be used here; {advice}")
        else:
            kept.append(entry)
    if entries:
        root["custom_hooks"] = kept


_STAGES = {
    *("before_run", "after_load_checkpoint", "before_train", "before_train_epoch"),
    *("before_train_iter", "after_train_iter", "before_save_checkpoint", "before_val"),
    *("before_val_epoch", "after_val_iter", "after_val_epoch", "after_val"),
    *("after_train_epoch", "after_train", "after_run"),
}
"""The stages of a hook that the training calls."""


def uncalled(hook: mmengine.hooks.Hook, warn: Callable[[str], None]) -> None:
    """Say which stages of a hook nothing calls."""
    stages = sorted(set(hook.get_triggered_stages()) - _STAGES)
    if stages:
        warn(
            f"{type(hook).__name__}: its {', '.join(stages)} will not be called; a training calls "
            f"{', '.join(sorted(_STAGES))}"
        )


def _mmengine_hook(kind: Any) -> str:
    """The name of the hook in :data:`MMENGINE_HOOKS` that a class is or inherits from, or ''."""
    bases = getattr(kind, "__mro__", ())
    return next((n for n in MMENGINE_HOOKS if getattr(mmengine.hooks, n) in bases), "")


def check_priority(path: str, value: Any) -> None:
    """Raise UserError where it is no priority of a hook's."""
    try:
        get_priority("" if isinstance(value, bool) else value)
    except (KeyError, ValueError, TypeError):
        names = ", ".join(p.name for p in Priority)
        raise UserError(
            f"config: {path}.priority = {value!r} must be one of {names}, or a whole number from 0 "
            "(first) to 100 (last)"
        ) from None


def _ema(path: str, entry: dict) -> float | dict[str, Any]:
    """``dict(type='EMAHook', momentum=...)``, mmengine's or ours, as the key ``ema``."""
    rest = {k: v for k, v in entry.items() if k not in ("type", "_scope_")}
    for key, (accepted, advice) in _EMA_AS_IS.items():
        if rest.pop(key, accepted) != accepted:
            raise UserError(f"config: {path}.{key} = {entry[key]!r}: {advice}")
    momentum = require(f"{path}.momentum", rest.pop("momentum", 0.0002), "share")
    ema = {"decay": 1 - momentum}
    for key, value in rest.items():
        if key not in ("decay", "begin", "begin_iter", "interval", "priority"):
            raise UserError(
                f"config: {path}: EMAHook takes no argument {key!r}; it takes momentum, "
                "begin_iter, interval and priority"
            )
        ema[key.removesuffix("_iter")] = value
    return ema if ema.keys() - {"decay"} else ema["decay"]


_EMA_AS_IS = {
    "ema_type": ("ExponentialMovingAverage", "there is no other average"),
    "strict_load": (False, "an average is always loaded strictly"),
    "begin_epoch": (0, f"{ITERATIONS}; write begin_iter"),
    "update_buffers": (False, "buffers are copied, not averaged"),
    "device": (None, "the average lies beside the weights"),
}


def type_name(kind: Any) -> str:
    """``'mmengine.EMAHook'`` and the class itself as 'EMAHook'."""
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", repr(kind))
    return re.split(r"\.|::", name)[-1]


_OF_EVERY_RUN: dict[str, tuple[str, dict[str, str]]] = {
    "logger": ("LoggerHook", {"interval": "log_interval"}),
    "param_scheduler": ("ParamSchedulerHook", {}),
    "checkpoint": (
        "CheckpointHook",
        {"interval": "checkpoint_interval", "max_keep_ckpts": "max_keep_checkpoints"},
    ),
    "evaluation": ("EvaluationHook", {"interval": "val_interval", "save_best": "save_best"}),
    "visualization": ("TensorboardHook", {}),
}
"""Type, and which top-level key each argument is taken from."""


def hook_configs(cfg: Config) -> dict[str, dict[str, Any]]:
    """The configs of the hooks of every run, by name; their arguments stand at the top."""
    found: dict[str, dict[str, Any]] = {}
    if cfg.get("ema"):
        ema = to_plain(cfg.ema)
        found["ema"] = {"type": "EMAHook", **(ema if isinstance(ema, dict) else {"decay": ema})}
    for name, (kind, keys) in _OF_EVERY_RUN.items():
        given = {argument: to_plain(cfg[key]) for argument, key in keys.items() if key in cfg}
        found[name] = {"type": kind, **given}
    if cfg.get("tensorboard", True) is False:
        del found["visualization"]
    return found
