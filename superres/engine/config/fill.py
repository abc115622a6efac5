"""What a config leaves to the program: arguments that top-level keys state."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

from .values import to_plain

_HOOKS: dict[str, tuple[str, dict[str, str]]] = {
    "logger": ("LoggerHook", {"interval": "log_interval"}),
    "param_scheduler": ("ParamSchedulerHook", {}),
    "checkpoint": (
        "CheckpointHook",
        {"interval": "checkpoint_interval", "max_keep_ckpts": "max_keep_checkpoints"},
    ),
    "evaluation": ("EvaluationHook", {"interval": "val_interval", "save_best": "save_best"}),
    "visualization": ("TensorboardHook", {}),
}
"""The hooks of every run: type, and which top-level key each argument is taken from."""


def hook_configs(cfg: Config) -> dict[str, dict[str, Any]]:
    """The configs of the hooks of every run, by name.

    Their arguments stand at the top of a config, where OpenMMLab's ``default_hooks`` was translated
    to (see :mod:`.ecosystem`).
    """
    found: dict[str, dict[str, Any]] = {}
    if cfg.get("ema"):
        ema = to_plain(cfg.ema)
        found["ema"] = {"type": "EMAHook", **(ema if isinstance(ema, dict) else {"decay": ema})}
    for name, (kind, keys) in _HOOKS.items():
        given = {argument: to_plain(cfg[key]) for argument, key in keys.items() if key in cfg}
        found[name] = {"type": kind, **given}
    if cfg.get("tensorboard", True) is False:
        del found["visualization"]
    return found
