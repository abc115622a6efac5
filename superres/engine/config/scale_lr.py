"""``auto_scale_lr``: a learning rate that goes with the size of the batch."""

from __future__ import annotations

from mmengine.config import Config

from superres.errors import UserError

from .values import require

KEYS = ("enable", "base_batch_size", "applied")


def scale_lr(cfg: Config) -> str:
    """Apply the linear rule (Goyal et al., 2017) in place, where the config asks for it.

    ``auto_scale_lr = dict(enable=True, base_batch_size=16)`` multiplies the optimiser's ``lr`` by
    ``global_batch_size / base_batch_size``. The config then says ``enable=False`` and what was
    applied, so that a run from the saved config does not scale twice.

    Returns:
        What was done, in one line; '' where nothing was.

    Raises:
        UserError: no base batch size, or keys of other names.
    """
    wanted = cfg.get("auto_scale_lr")
    if not wanted:
        return ""
    if not isinstance(wanted, dict) or set(wanted) - set(KEYS):
        raise UserError(
            f"config: auto_scale_lr = {wanted!r} must be dict(enable=True, base_batch_size=16)"
        )
    if not require("auto_scale_lr.enable", wanted.get("enable", False), "yes or no"):
        return ""
    if wanted.get("applied"):
        raise UserError(
            f"config: auto_scale_lr was applied before: the learning rate is {wanted['applied']:g} "
            "times what it was. Remove auto_scale_lr.applied to scale it again"
        )
    base = require("auto_scale_lr.base_batch_size", wanted.get("base_batch_size"), "count")
    optimizer = cfg.optim_wrapper.optimizer
    if not isinstance(optimizer.get("lr"), (int, float)):
        raise UserError("config: auto_scale_lr needs a number in optim_wrapper.optimizer.lr")
    factor = cfg.global_batch_size / base
    before = optimizer.lr
    optimizer.lr = before * factor
    wanted.enable, wanted.applied = False, factor
    return (
        f"auto_scale_lr: batch {cfg.global_batch_size} is {factor:g} times the base batch {base}: "
        f"learning rate {before:g} becomes {optimizer.lr:g}"
    )
