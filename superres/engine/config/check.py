"""What can be known to be wrong with a config before anything is built.

Each check raises one :class:`~superres.errors.UserError` that names the key.
"""

from __future__ import annotations

from mmengine.config import Config

from superres.errors import UserError

from .ecosystem import OPTIMISER
from .mmengine_hooks import ITERATIONS, type_name
from .network_check import check_network, follow_channels
from .types import check_types, use_scope
from .values import MISSING, get, require, walk

_KINDS = {
    "dict": (
        *("model", "model.backbone", "train_dataloader", "train_dataloader.dataset"),
        *("optim_wrapper", "optim_wrapper.optimizer"),
    ),
    "dict or None": ("optim_wrapper.clip_grad", "optim_wrapper.paramwise_cfg", "auto_scale_lr"),
    "list or None": ("param_scheduler", "custom_hooks", "recompute"),
    "path or None": ("load_from", "work_dir"),
    "count": (
        *("max_iters", "global_batch_size", "log_interval", "accumulate"),
        "train_dataloader.prefetch_factor",
    ),
    "count or None": ("val_interval", "checkpoint_interval", "max_keep_checkpoints"),
    "count or 0": ("num_workers",),
    "seed or None": ("seed",),
    "yes or no": ("deterministic", "auto_scale_lr.enable"),
}
"""What a key must be where it is there; see :data:`.values.KINDS`."""

_TAKES = {
    "optim_wrapper.clip_grad": "type max_norm norm_type error_if_nonfinite foreach clip_value",
    "optim_wrapper.paramwise_cfg": "custom_keys bias_lr_mult bias_decay_mult norm_decay_mult "
    "dwconv_decay_mult flat_decay_mult bypass_duplicate",
    "auto_scale_lr": "enable base_batch_size applied",
}
"""The keys of dicts that whoever reads them does not check."""


def check_scale(cfg: Config) -> None:
    """The scale stands once at the top; everything that states one agrees with it.

    Raises:
        UserError: no scale, one that is no positive whole number, or two that differ.
    """
    if "scale" not in cfg:
        raise UserError("config: it states no scale; write e.g. scale = 4 at its top")
    scale = cfg["scale"]
    scales = list(scale) if isinstance(scale, (list, tuple)) else [scale]
    if not scales or not all(type(s) is int and s > 0 for s in scales):
        raise UserError(f"config: scale = {scale!r} must be a whole number such as 2, 3 or 4")

    for path, value in walk(cfg):
        if "." not in path or path.rpartition(".")[2] not in ("scale", "scales"):
            continue
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        if not set(values) <= set(scales):
            raise UserError(
                f"config: {path} = {value!r} disagrees with scale = {scale!r}. Write it "
                f"once, at the top (or --cfg-options scale=...): it reaches every part"
            )


def check_shapes(cfg: Config) -> None:
    """What must be a dict, a list, a path or a number is one.

    Raises:
        UserError: naming the key.
    """
    for kind, paths in _KINDS.items():
        for path in paths:
            value = get(cfg._cfg_dict, path)
            if value is not MISSING:
                require(path, value, kind)
    for path, known in _TAKES.items():
        stated = get(cfg._cfg_dict, path)
        for key in () if stated is MISSING else stated or ():
            if key not in known.split():
                known = known.replace(" ", ", ")
                raise UserError(f"config: {path} has no key {key!r}; known: {known}")
    for key in ("param_scheduler", "custom_hooks"):
        for i, entry in enumerate(cfg.get(key) or []):
            if not isinstance(entry, dict) or "type" not in entry:
                raise UserError(f"config: {key}.{i} = {entry!r} must be a dict with a type")
            if key == "param_scheduler" and entry.get("by_epoch", True):  # mmengine's default
                raise UserError(
                    f"config: {key}.{i}: {entry['type']}: {ITERATIONS}; write by_epoch=False"
                )
    pipeline = cfg.train_dataloader["dataset"].get("pipeline", [{"type": ""}])
    if (
        not isinstance(pipeline, list)
        or not pipeline
        or not all(isinstance(step, dict) and "type" in step for step in pipeline)
    ):
        raise UserError(
            "config: train_pipeline must be a list of dicts with a type, the last one PackInputs"
        )
    optimizer = get(cfg.optim_wrapper, "optimizer")
    if optimizer is MISSING or "type" not in optimizer:
        raise UserError(f"config: optim_wrapper has no optimizer with a type; {OPTIMISER}")
    kind = cfg.optim_wrapper.get("type")
    if type_name(kind) in ("AmpOptimWrapper", "ApexOptimWrapper"):
        raise UserError(
            f"config: optim_wrapper.type = {kind!r}: write type='OptimWrapper' there without "
            "loss_scale and dtype, and amp = True, 'bfloat16' or 'float16' at the top"
        )


def check_batch(cfg: Config, world_size: int = 1) -> None:
    """The batch divides among the ranks and into parts.

    Raises:
        UserError: naming the key.
    """
    batch = cfg.get("global_batch_size", world_size)
    if batch % world_size:
        raise UserError(
            f"config: global_batch_size = {batch} cannot be shared equally by {world_size} "
            f"processes; choose a multiple of {world_size}, or another number of processes"
        )
    parts = cfg.get("accumulate", 1)
    if batch // world_size % parts:
        raise UserError(
            f"config: accumulate = {parts}: a process's {batch // world_size} samples (of "
            f"global_batch_size = {batch}) cannot be cut into {parts} equal parts"
        )


def check_config(cfg: Config, world_size: int = 1) -> None:
    """All checks that need no data. Run before a model or a dataset is built.

    The channels that images are read with are put into the config: those of the network.
    """
    use_scope()
    for key in ("model", "train_dataloader", "optim_wrapper"):
        if key not in cfg:
            raise UserError(f"config: it has no {key!r}; start from one of configs/_base_")
    if isinstance(cfg.train_dataloader, dict) and "dataset" not in cfg.train_dataloader:
        raise UserError(
            "config: train_dataloader has no 'dataset', a dict(type='PairedDataset', ...)"
        )
    check_shapes(cfg)
    check_scale(cfg)
    check_batch(cfg, world_size)
    check_types(cfg)
    follow_channels(cfg, check_network(cfg))


def scale_lr(cfg: Config) -> str:
    """Apply the linear rule (Goyal et al., 2017) in place, where the config asks for it.

    ``auto_scale_lr = dict(enable=True, base_batch_size=16)`` multiplies the optimiser's ``lr`` by
    ``global_batch_size / base_batch_size``. The config then says ``enable=False`` and what was
    applied, so that a run from the saved config does not scale twice.

    Returns:
        What was done, in one line; '' where nothing was.

    Raises:
        UserError: no base batch size, no rate to scale, or it was applied before.
    """
    wanted = cfg.get("auto_scale_lr") or {}
    if not wanted.get("enable"):
        return ""
    if wanted.get("applied"):
        raise UserError(
            f"config: auto_scale_lr was applied before: the learning rate is {wanted['applied']:g} "
            "times what it was. Remove auto_scale_lr.applied to scale it again"
        )
    base = require("auto_scale_lr.base_batch_size", wanted.get("base_batch_size"), "count")
    before = require("optim_wrapper.optimizer.lr", cfg.optim_wrapper.optimizer.get("lr"), "number")
    factor = cfg.global_batch_size / base
    cfg.optim_wrapper.optimizer.lr = before * factor
    wanted.enable, wanted.applied = False, factor
    return (
        f"auto_scale_lr: batch {cfg.global_batch_size} is {factor:g} times the base batch {base}: "
        f"learning rate {before:g} becomes {before * factor:g}"
    )
