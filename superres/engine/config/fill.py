"""What a config leaves to the program: arguments that top-level keys state."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

from .load import to_plain

DEFAULT_HOOKS: dict[str, str] = {
    "logger": "LoggerHook",
    "param_scheduler": "ParamSchedulerHook",
    "checkpoint": "CheckpointHook",
    "evaluation": "EvaluationHook",
    "visualization": "TensorboardHook",
}
"""The hooks of every run. ``default_hooks = dict(NAME=None)`` leaves one out."""

_FROM_KEYS = {
    "logger": {"interval": "log_interval"},
    "checkpoint": {"interval": "checkpoint_interval", "max_keep_ckpts": "max_keep_checkpoints"},
    "evaluation": {"interval": "val_interval", "save_best": "save_best"},
}


def hook_configs(cfg: Config) -> dict[str, dict[str, Any]]:
    """The config's ``default_hooks``, complete, without those that it switches off.

    Intervals stand at the top of a config, where every config has them; what ``default_hooks``
    itself states goes before.
    """
    given = to_plain(cfg.get("default_hooks") or {})
    found: dict[str, dict[str, Any]] = {}
    if cfg.get("ema"):
        ema = to_plain(cfg.ema)
        found["ema"] = {"type": "EMAHook", **(ema if isinstance(ema, dict) else {"decay": ema})}
    for name in {**DEFAULT_HOOKS, **given}:
        hook = given.get(name, {})
        if hook is None or (name == "visualization" and cfg.get("tensorboard", True) is False):
            continue
        kind = DEFAULT_HOOKS.get(name)
        hook = {"type": kind, **hook}
        if hook["type"] == kind:
            for argument, key in _FROM_KEYS.get(name, {}).items():
                if key in cfg:
                    hook.setdefault(argument, to_plain(cfg[key]))
        found[name] = hook
    return found
