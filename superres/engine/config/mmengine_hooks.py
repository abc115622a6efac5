"""mmengine's own hooks in a config: translated into superres's keys, or refused by name.

The training loop does what most of them are for. One that ran beside it would step the learning
rate twice, or average weights that validation never sees.
"""

from __future__ import annotations

import re
from typing import Any

import mmengine.hooks
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner.priority import Priority, get_priority

from superres.errors import UserError
from superres.registry import HOOKS

from .reading import Source
from .values import blame, find_type, require, to_plain

ITERATIONS = "training counts iterations, not epochs"
_LOOP = "the training loop does this itself"
_INSTEAD = {
    "CheckpointHook": "write checkpoint_interval, max_keep_checkpoints and save_best, or "
    "default_hooks = dict(checkpoint=dict(interval=N))",
    "LoggerHook": "write log_interval = N, or default_hooks = dict(logger=dict(interval=N))",
    "EMAHook": "validation would not see its average; write ema = 0.999",
    "NPUProfilerHook": "use ProfilerHook",
    "NaiveVisualizationHook": "use 'superres test --save-images', or tensorboard = True",
    "PrepareTTAHook": "use 'superres test --self-ensemble'",
    **dict.fromkeys(("ParamSchedulerHook", "IterTimerHook"), _LOOP),
    **dict.fromkeys(("RuntimeInfoHook", "DistSamplerSeedHook"), _LOOP),
    "ExponentialMovingAverageHook": "write ema = 0.999",  # MMagic's and MMEditing's
    "BasicVisualizationHook": "write tensorboard = True",
    "EvaluationHook": "write val_interval = N and save_best",  # ours
}
"""What stands for a hook, its class told by name or by what it inherits from."""

DEFAULT_HOOKS = {
    "checkpoint": "CheckpointHook",
    "logger": "LoggerHook",
    "timer": "IterTimerHook",
    "param_scheduler": "ParamSchedulerHook",
    "sampler_seed": "DistSamplerSeedHook",
    "runtime_info": "RuntimeInfoHook",
}
"""mmengine's own, which :mod:`.ecosystem` reads; others in ``default_hooks`` are like custom ones.
``visualization`` is every toolbox's own."""


def translate_hooks(root: dict, source: Source, notes: list[str]) -> None:
    """Take those of mmengine's hooks out of ``custom_hooks`` that something else stands for."""
    defaults, custom = root.get("default_hooks"), root.get("custom_hooks") or []
    if not isinstance(custom, list):
        return
    known = (*DEFAULT_HOOKS, "visualization")
    more = [n for n in defaults if n not in known] if isinstance(defaults, dict) else []
    entries = [(f"default_hooks.{name}", defaults.pop(name)) for name in more]
    entries = [entry for entry in entries if entry[1] is not None]
    entries += [(f"custom_hooks.{i}", entry) for i, entry in enumerate(custom)]
    kept, averages = [], []
    for path, entry in entries:
        if not isinstance(entry, dict) or "type" not in entry:
            own = f"; mmengine's own are {', '.join(DEFAULT_HOOKS)}" if path[0] == "d" else ""
            raise UserError(f"config: {path} = {entry!r} must be a dict with a type{own}")
        check_priority(path, entry.get("priority", 0))
        name = type_name(entry["type"])
        kind = HOOKS.get(entry["type"]) if isinstance(entry["type"], str) else entry["type"]
        if kind in (HOOKS.get("superres.EMAHook"), mmengine.hooks.EMAHook):
            averages.append(path)
            if averages[1:]:
                raise UserError(f"config: {' and '.join(averages)} average; remove one of them")
            source.settle(root, path, "ema", _ema(path, entry))
            continue
        if not (isinstance(kind, type) and issubclass(kind, Hook)) and find_type(entry["type"]):
            what = "a class of mmengine.hooks.Hook that is registered in superres.registry.HOOKS"
            raise UserError(f"config: {path}.type = {name!r} is not a hook: {what}")
        like = _like(kind, name)
        if not like:
            kept.append(entry)
        elif _INSTEAD[like] is _LOOP and like == name:
            notes.append(f"{path}: {name} ({_LOOP})")
        else:
            of = f", a kind of {like}," if like != name else ""
            raise UserError(f"config: {path}: {name}{of} cannot be used here; {_INSTEAD[like]}")
    if entries:
        root["custom_hooks"] = kept


def _like(kind: Any, name: str) -> str:
    """The hook in :data:`_INSTEAD` that a class is or inherits from, or ''."""
    theirs = ("mmengine.hooks.", "superres.engine.hooks.")
    bases = [b.__name__ for b in getattr(kind, "__mro__", ()) if b.__module__.startswith(theirs)]
    return next((base for base in bases or [name] if base in _INSTEAD), "")


def build_hook(place: str, node: dict[str, Any]) -> Hook:
    """A hook of the config, with the priority that it states.

    Raises:
        UserError: its arguments do not fit; ``place`` is named.
    """
    with blame(place, node):
        hook = HOOKS.build({key: value for key, value in node.items() if key != "priority"})
    hook.priority = node.get("priority", hook.priority)
    check_priority(place, hook.priority)
    return hook


def test_hooks(cfg: Config) -> list[Hook]:
    """Those of ``custom_hooks`` that have something to do in a test."""
    return [
        build_hook("custom_hooks", node)
        for node in to_plain(cfg.get("custom_hooks") or [])
        if "_test" in " ".join(Hook.get_triggered_stages(find_type(node["type"])))
    ]


def check_priority(path: str, value: Any) -> None:
    """Raise UserError if it is not a priority of hooks."""
    try:
        get_priority("" if isinstance(value, bool) else value)
    except (KeyError, ValueError, TypeError):
        names = f"{', '.join(p.name for p in Priority)}, or a whole number from 0 to 100"
        raise UserError(f"config: {path}.priority = {value!r} must be one of {names}") from None


_EMA_AS_IS = {
    "ema_type": "ExponentialMovingAverage",
    "strict_load": False,
    "begin_epoch": 0,
    "update_buffers": False,
    "device": None,
}
"""mmengine's arguments that have one value here."""


def _ema(path: str, entry: dict) -> float | dict[str, Any]:
    """``dict(type='EMAHook', momentum=...)``, mmengine's or ours, as the key ``ema``."""
    ema = {"decay": 1 - require(f"{path}.momentum", entry.get("momentum", 0.0002), "share")}
    for key, value in entry.items():
        if key in ("decay", "begin", "begin_iter", "interval", "priority"):
            ema[key.removesuffix("_iter")] = value
        elif key not in ("type", "_scope_", "momentum") and value != _EMA_AS_IS.get(key, entry):
            hint = "it is the exponential one, by momentum, begin_iter, interval and priority"
            raise UserError(f"config: {path}: EMAHook cannot have {key} = {value!r}; {hint}")
    return ema if ema.keys() - {"decay"} else ema["decay"]


def type_name(kind: Any) -> str:
    """``'mmengine.EMAHook'`` and the class itself as 'EMAHook'."""
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", repr(kind))
    return re.split(r"\.|::", name)[-1]
