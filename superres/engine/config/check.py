"""What can be known to be wrong with a config before anything is built.

Each check raises one :class:`~superres.errors.UserError` that names the key.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import Config

from superres import registry
from superres.errors import UserError

from .ecosystem import OPTIMISER, seed, whole
from .mmengine_hooks import ITERATIONS, type_name
from .network_check import check_network, follow_channels
from .types import check_types, of_its_kind, use_scope
from .values import to_plain

POSITIVE_INTEGERS = (
    "max_iters",
    "global_batch_size",
    "val_interval",
    "checkpoint_interval",
    "log_interval",
    "max_keep_checkpoints",
    "accumulate",
)


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

    def stated(node: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(node, dict):
            for key, value in node.items():
                here = f"{path}.{key}" if path else key
                if key in ("scale", "scales") and path:
                    yield here, value
                else:
                    yield from stated(value, here)
        elif isinstance(node, (list, tuple)):
            for i, value in enumerate(node):
                yield from stated(value, f"{path}.{i}")

    for path, value in stated(cfg._cfg_dict, ""):
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        if not set(values) <= set(scales):
            raise UserError(
                f"config: {path} = {value!r} disagrees with scale = {scale!r}. Write it "
                f"once, at the top (or --cfg-options scale=...): it reaches every part"
            )


_KINDS = {
    "model": dict,
    "model.backbone": dict,
    "optim_wrapper": dict,
    "optim_wrapper.optimizer": dict,
    "optim_wrapper.clip_grad": dict,
    "optim_wrapper.paramwise_cfg": dict,
    "train_dataloader": dict,
    "train_dataloader.dataset": dict,
    "train_dataloader.prefetch_factor": int,
    "param_scheduler": list,
    "custom_hooks": list,
    "load_from": str,
    "work_dir": str,
    "deterministic": bool,
}
_MAY_BE_NONE = ("param_scheduler", "custom_hooks", "load_from", "work_dir")
_KEYS = {
    "clip_grad": "type max_norm norm_type error_if_nonfinite foreach clip_value",
    "paramwise_cfg": "custom_keys bias_lr_mult bias_decay_mult norm_decay_mult dwconv_decay_mult "
    "flat_decay_mult bypass_duplicate",
}
"""Of the dicts in ``optim_wrapper``, which may also be None."""


def check_shapes(cfg: Config) -> None:
    """What must be a dict, a list or a path is one.

    Raises:
        UserError: naming the key.
    """
    words = {
        dict: "a dict",
        list: "a list",
        str: "a path",
        int: "a whole number of at least 1",
        bool: "True or False",
    }
    for path, kind in _KINDS.items():
        node: Any = cfg._cfg_dict
        for part in path.split("."):
            if not isinstance(node, dict) or part not in node:
                break
            node = node[part]
        else:
            if node is None and (path in _MAY_BE_NONE or path.split(".")[-1] in _KEYS):
                continue
            if not isinstance(node, kind) or (kind is int and node < 1):
                raise UserError(f"config: {path} = {node!r} must be {words[kind]}")
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


def check_numbers(cfg: Config, world_size: int = 1) -> None:
    """Counts are positive whole numbers, and the batch divides among the ranks.

    Raises:
        UserError: naming the key.
    """
    for key in POSITIVE_INTEGERS:
        value = cfg.get(key, 1)
        if value is None and key in ("val_interval", "checkpoint_interval", "max_keep_checkpoints"):
            continue
        whole(key, value)
    workers = cfg.get("num_workers", 0)
    if type(workers) is not int or workers < 0:
        raise UserError(f"config: num_workers = {workers!r} must be a whole number of at least 0")
    seed("seed", cfg.get("seed"))
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
    check_numbers(cfg, world_size)
    check_types(cfg)
    follow_channels(cfg, check_network(cfg))
    check_optimizer(cfg)
