"""What can be known to be wrong with a config before anything is built.

Each check raises one :class:`~superres.errors.UserError` that names the key.
"""

from __future__ import annotations

import inspect

import torch
from mmengine.config import Config

from superres import registry
from superres.errors import UserError

from .ecosystem import OPTIMISER
from .mmengine_hooks import ITERATIONS, type_name
from .network_check import check_network, follow_channels
from .types import check_types, of_its_kind, use_scope
from .values import MISSING, get, require, to_plain, walk


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


_KINDS = {
    **dict.fromkeys(
        ("model", "model.backbone", "optim_wrapper", "optim_wrapper.optimizer"), "dict"
    ),
    **dict.fromkeys(("train_dataloader", "train_dataloader.dataset"), "dict"),
    **dict.fromkeys(("optim_wrapper.clip_grad", "optim_wrapper.paramwise_cfg"), "dict or None"),
    **dict.fromkeys(("param_scheduler", "custom_hooks"), "list or None"),
    **dict.fromkeys(("load_from", "work_dir"), "path or None"),
    **dict.fromkeys(("max_iters", "global_batch_size", "log_interval", "accumulate"), "count"),
    **dict.fromkeys(("val_interval", "checkpoint_interval"), "count or None"),
    "max_keep_checkpoints": "count or None",
    "train_dataloader.prefetch_factor": "count",
    "num_workers": "count or 0",
    "seed": "seed",
    "deterministic": "yes or no",
}
_KEYS = {
    "clip_grad": "type max_norm norm_type error_if_nonfinite foreach clip_value",
    "paramwise_cfg": "custom_keys bias_lr_mult bias_decay_mult norm_decay_mult dwconv_decay_mult "
    "flat_decay_mult bypass_duplicate",
}
"""Of the dicts in ``optim_wrapper``, which may also be None."""


def check_shapes(cfg: Config) -> None:
    """What must be a dict, a list, a path or a number is one.

    Raises:
        UserError: naming the key.
    """
    for path, kind in _KINDS.items():
        value = get(cfg._cfg_dict, path)
        if value is not MISSING:
            require(path, value, kind)
    for key in ("param_scheduler", "custom_hooks"):
        for i, entry in enumerate(cfg.get(key) or []):
            if not isinstance(entry, dict) or "type" not in entry:
                raise UserError(f"config: {key}.{i} = {entry!r} must be a dict with a type")
            if key == "param_scheduler" and entry.get("by_epoch", True):  # mmengine's default
                raise UserError(
                    f"config: {key}.{i}: {entry['type']}: {ITERATIONS}; write by_epoch=False"
                )
    for part, known in _KEYS.items():
        for key in set(cfg.optim_wrapper.get(part) or ()) - {*known.split()}:
            known = known.replace(" ", ", ")
            raise UserError(f"config: optim_wrapper.{part} has no key {key!r}; known: {known}")
    pipeline = cfg.train_dataloader["dataset"].get("pipeline", ())
    if pipeline != () and not (
        isinstance(pipeline, list)
        and pipeline
        and all(isinstance(t, dict) and "type" in t for t in pipeline)
    ):
        raise UserError(
            "config: train_pipeline must be a list of dicts with a type, the last one PackInputs"
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
    recompute = cfg.get("recompute") or []
    if not isinstance(recompute, list) or not all(isinstance(name, str) for name in recompute):
        raise UserError(
            f"config: recompute = {recompute!r} must be a list of the backbone's modules, such as "
            "['body.*']"
        )


def check_optimizer(cfg: Config) -> None:
    """The optimiser's arguments are numbers where its defaults are.

    Raises:
        UserError: naming the key.
    """
    wrapper = to_plain(cfg.optim_wrapper)
    kind, node = wrapper.get("type"), wrapper.get("optimizer", {})
    if "type" not in node:
        raise UserError(f"config: optim_wrapper has no optimizer with a type; {OPTIMISER}")
    if type_name(kind) in ("AmpOptimWrapper", "ApexOptimWrapper"):
        raise UserError(
            f"config: optim_wrapper.type = {kind!r}: write type='OptimWrapper' there without "
            "loss_scale and dtype, and amp = True, 'bfloat16' or 'float16' at the top"
        )
    known = registry.OPTIMIZERS.get(node["type"])
    parameters = inspect.signature(known).parameters if known else {}
    for key, value in node.items():
        default = parameters[key].default if key in parameters else None
        if type(default) is int:  # torch writes 0 where 0.5 may stand
            default = float(default)
        kind = of_its_kind(value, default) if isinstance(default, float | tuple) else None
        if kind is not None and not isinstance(value, torch.Tensor):
            raise UserError(f"config: optim_wrapper.optimizer.{key} = {value!r} must be {kind}")


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
    check_optimizer(cfg)
