"""OpenMMLab's config keys: translated into superres's when a config is loaded, or refused by name.

A config may state what mmengine's Runner reads: ``resume``, ``randomness``, ``default_hooks``,
``env_cfg``, ``train_cfg``, the arguments of a DataLoader, mmengine's own hooks. What has a
counterpart is moved to it, so that the rest of the program knows one spelling. What would train
differently is an error that says what to write. What changes nothing here is named in a warning.

Where both spellings are there, the one that was written last wins: on the command line, else in
the file that inherits from the other. The files of ``configs/_base_`` hold defaults, so anything
wins over them. Two that contradict each other in one place are an error.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import mmengine.hooks
from mmengine.config import Config

from superres.errors import UserError, did_you_mean

from .mmengine_hooks import DEFAULT_HOOKS, ITERATIONS, MMENGINE_HOOKS, translate_hooks, type_name
from .reading import Source
from .values import require

SECTIONS = {
    "default_hooks": "a hook of your own stands in custom_hooks",
    "randomness": "write seed = N and deterministic = True",
    "env_cfg": "it may hold cudnn_benchmark, mp_cfg and dist_cfg",
    "train_cfg": "write max_iters and val_interval",
    "val_cfg": "validation scores val_sets and test_sets by protocols",
    "test_cfg": "'superres test' scores test_sets by protocols",
    "train_dataloader": "batches are described by global_batch_size, num_workers and seed",
    "log_processor": "log.jsonl holds the means of each log_interval",
    "experiment_name": "the work dir names the run",
}
"""Top-level keys that :func:`translate` takes apart, and a hint for what it does not know."""

SCALARS = ("resume", "launcher", "log_level")
"""mmengine's keys that are superres's, too."""

_OUR_LOADER = tuple(f"train_dataloader.{k}" for k in ("dataset", "start_method", "prefetch_factor"))
"""superres's own keys there, which stay as they are."""

_SCORES = "write protocols = 'mmediting-rgb', or a dict from set to protocol"
_SETS = "write val_sets = [...] and test_sets = [...]: names below data_root, or folders"
_CURVES = "write tensorboard = True; other backends are not supported"
OPTIMISER = "write optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))"

REFUSED = {
    "val_dataloader": _SETS,
    "test_dataloader": _SETS,
    "val_evaluator": _SCORES,
    "test_evaluator": _SCORES,
    "visualizer": _CURVES,
    "vis_backends": _CURVES,
    "data_preprocessor": "write model = dict(data_preprocessor=dict(...))",
    "model_wrapper_cfg": "remove it: processes are connected by MMDistributedDataParallel",
    "find_unused_parameters": "write it as an attribute of the restorer's class",
    "compile": "write fast = dict(compile=True)",
    "activation_checkpointing": "write recompute = ['body.*'], the names of the backbone's blocks",
    # MMEditing 0.x
    "total_iters": "write max_iters = N",
    "runner": "write max_iters = N",
    "optimizer": OPTIMISER,
    "optimizers": OPTIMISER,
    "optimizer_config": "write optim_wrapper = dict(clip_grad=dict(max_norm=1.0))",
    "lr_config": "write param_scheduler = [dict(type='MultiStepLR', by_epoch=False, ...)]",
    "data": "write train_set, val_sets, test_sets and global_batch_size",
    "evaluation": "write val_interval = N, save_best and protocols",
    "checkpoint_config": "write checkpoint_interval = N and max_keep_checkpoints = N",
    "log_config": "write log_interval = N and tensorboard = True",
    "resume_from": "write resume = True and load_from = 'PATH', or --resume PATH",
    "auto_resume": "write resume = True",
    "fp16": "write amp = 'float16' or amp = True",
    "cudnn_benchmark": "write fast = dict(autotune=True)",
    "dist_params": "write env_cfg = dict(dist_cfg=dict(backend='nccl'))",
    "mp_start_method": "write train_dataloader = dict(start_method='fork')",
}
"""Top-level keys of mmengine and mmcv that are not read, and what to write instead."""


def _never(path: str, value: Any) -> int | None:
    """mmengine writes -1 for 'never' and for 'no limit'."""
    return None if type(value) is int and value in (-1, 0) else require(path, value, "count")


def _best(path: str, value: Any) -> str | None:
    """``'PSNR'`` and ``['PSNR']`` as ``'psnr'``, ``'Set5/SSIM'`` as ``'Set5/ssim'``."""
    names = value if isinstance(value, list | tuple) else [value]
    if len(names) != 1:
        raise UserError(f"config: {path} = {value!r}: there is one best.pth; name one metric")
    if names[0] is None:
        return None
    cell, slash, metric = str(names[0]).rpartition("/")
    known = re.match("(?i)(psnr|ssim)(?=@|$)", metric)
    return cell + slash + (known[0].lower() + metric[known.end() :] if known else metric)


_START_METHOD = "train_dataloader.start_method"
_SAME: dict[str, tuple[str, str | Callable[[str, Any], Any] | None]] = {
    "randomness.seed": ("seed", "seed"),
    "randomness.deterministic": ("deterministic", "yes or no"),
    "train_cfg.max_iters": ("max_iters", "count"),
    "train_cfg.val_interval": ("val_interval", "count"),
    "default_hooks.checkpoint.interval": ("checkpoint_interval", _never),
    "default_hooks.checkpoint.max_keep_ckpts": ("max_keep_checkpoints", _never),
    "default_hooks.checkpoint.save_best": ("save_best", _best),
    "default_hooks.logger.interval": ("log_interval", "count"),
    "env_cfg.cudnn_benchmark": ("fast.autotune", "yes or no"),
    "env_cfg.mp_cfg.mp_start_method": (_START_METHOD, None),
    "train_dataloader.multiprocessing_context": (_START_METHOD, None),
    "train_dataloader.batch_size": ("global_batch_size", "count"),
    "train_dataloader.num_workers": ("num_workers", None),
    "train_dataloader.pin_memory": ("train_dataloader.pin_memory", "yes or no"),
    "env_cfg.dist_cfg.backend": ("env_cfg.dist_cfg.backend", "backend"),
    "env_cfg.dist_cfg.timeout": ("env_cfg.dist_cfg.timeout", "seconds"),
}
"""OpenMMLab's spelling: ours, and the kind of the value or what converts it; None: whoever reads it
checks it."""

_EPOCHS = f"{ITERATIONS}; write by_epoch=False"
_MAX_ITERS = f"{ITERATIONS}; write max_iters = N"
_SAVES = "every interval and the last iteration are saved, whole"
_LARGER = "a larger PSNR or SSIM is better"
_PLACE = "checkpoints and logs lie in the work dir: write work_dir = 'DIR', or --work-dir DIR"
_WORK_DIRS = (None, "work_dirs", "./work_dirs", "./work_dirs/")
_INTERVAL = "validation is at every val_interval"
_ORDER = "samples are drawn in random order, a function of (seed, iteration)"
_BATCHES = "PackInputs and the loader make the batches"

_AS_IS: dict[str, tuple[Any, ...]] = {
    **{
        f"default_hooks.{name}.type": (
            f"{MMENGINE_HOOKS[kind]}; a hook of your own stands in custom_hooks",
            kind,
        )
        for name, kind in DEFAULT_HOOKS.items()
    },
    **{
        f"default_hooks.{name}.priority": (
            "superres's own hooks have a fixed order",
            getattr(mmengine.hooks, kind).priority,
        )
        for name, kind in DEFAULT_HOOKS.items()
    },
    "default_hooks.checkpoint": ("write dict(interval=-1) to save the last iteration only",),
    "default_hooks.logger": ("write dict(interval=N)",),
    "default_hooks.param_scheduler": ("write param_scheduler = [] for a constant rate",),
    "default_hooks.checkpoint.by_epoch": (_EPOCHS, False),
    "default_hooks.checkpoint.save_begin": (_SAVES, 0),
    "default_hooks.checkpoint.save_last": (_SAVES, True),
    "default_hooks.checkpoint.save_optimizer": (_SAVES, True),
    "default_hooks.checkpoint.save_param_scheduler": (_SAVES, True),
    "default_hooks.checkpoint.published_keys": ("see 'superres convert'", None),
    "default_hooks.checkpoint.filename_tmpl": (_PLACE, None, "iter_{}.pth"),
    "default_hooks.checkpoint.out_dir": (_PLACE, *_WORK_DIRS),
    "default_hooks.checkpoint.backend_args": (_PLACE, None),
    "default_hooks.checkpoint.file_client_args": (_PLACE, None),
    "default_hooks.checkpoint.rule": (_LARGER, None, "greater", ["greater"]),
    "default_hooks.checkpoint.greater_keys": (_LARGER, None),
    "default_hooks.checkpoint.less_keys": (_LARGER, None),
    "default_hooks.logger.out_dir": (_PLACE, *_WORK_DIRS),
    "default_hooks.logger.backend_args": (_PLACE, None),
    "default_hooks.logger.file_client_args": (_PLACE, None),
    "default_hooks.logger.log_metric_by_epoch": (ITERATIONS, False),
    "train_cfg.type": (_MAX_ITERS, "IterBasedTrainLoop"),
    "train_cfg.by_epoch": (_MAX_ITERS, False),
    "train_cfg.max_epochs": (_MAX_ITERS, None),
    "train_cfg.val_begin": (_INTERVAL, 0, 1),
    "train_cfg.dynamic_intervals": (_INTERVAL, None),
    "val_cfg.type": (SECTIONS["val_cfg"], "ValLoop", "MultiValLoop", "EditValLoop"),
    "test_cfg.type": (SECTIONS["test_cfg"], "TestLoop", "MultiTestLoop", "EditTestLoop"),
    "env_cfg.dist_cfg.port": ("set MASTER_PORT in the environment", None),
    "env_cfg.dist_cfg.init_backend": ("torch connects the processes", "torch"),
    "train_dataloader.shuffle": (_ORDER, True),
    "train_dataloader.batch_sampler": (_ORDER, None),
    "train_dataloader.sampler": (_ORDER, None),
    "train_dataloader.sampler.type": (_ORDER, "InfiniteSampler", "DefaultSampler"),
    "train_dataloader.sampler.shuffle": (_ORDER, True),
    "train_dataloader.sampler.round_up": (_ORDER, True),
    "train_dataloader.sampler.seed": ("write seed = N, or randomness = dict(seed=N)", None),
    "train_dataloader.collate_fn": (_BATCHES, None),
    "train_dataloader.collate_fn.type": (_BATCHES, "default_collate", "pseudo_collate"),
}
"""What to write instead, and the values that say what is done anyway."""

_NO_EFFECT: dict[str, tuple[Any, ...]] = {
    "default_hooks.visualization": ("tensorboard shows results",),
    "default_hooks.logger.ignore_last": ("the last iterations are always logged",),
    "default_hooks.logger.interval_exp_name": ("the work dir names the run",),
    "default_hooks.logger.keep_local": ("log.jsonl lies in the work dir",),
    "default_hooks.logger.out_suffix": ("log.jsonl lies in the work dir",),
    "randomness.diff_rank_seed": ("what a network draws always differs between ranks", True),
    "env_cfg.mp_cfg.opencv_num_threads": ("a worker has one thread", 0),
    "env_cfg.resource_limit": ("ulimit -n sets it",),
    "log_processor": (SECTIONS["log_processor"],),
    "experiment_name": (SECTIONS["experiment_name"],),
    "train_dataloader.persistent_workers": ("workers live as long as the run", True),
    "train_dataloader.drop_last": ("every batch is full", True),
}
"""Why it has none, and the values that say what is done anyway."""


_BELOW: dict[str, dict[str, None]] = {}
"""The known keys directly inside a dotted key."""
for _path in sorted((*_SAME, *_NO_EFFECT, *_AS_IS, *_OUR_LOADER)):
    _parts = _path.split(".")
    for _i in range(1, len(_parts)):
        _BELOW.setdefault(".".join(_parts[:_i]), {})[_parts[_i]] = None


def translate(cfg: Config, source: Source, processes: int = 1) -> list[str]:
    """Move what is in OpenMMLab's spelling to superres's keys, in place.

    Args:
        cfg: as read.
        source: where each key was written.
        processes: of the run: ``train_dataloader.batch_size`` is that of one.

    Returns:
        What has no effect here, each with why.

    Raises:
        UserError: what would train differently, and two keys that contradict each other.
    """
    root, notes = cfg._cfg_dict, _check_scalars(cfg._cfg_dict)
    translate_hooks(root, source, notes)
    for path, value in list(_leaves(root)):
        _drop(root, path)
        if path.endswith("._scope_") or value == {}:
            continue
        if value is not None and path in _BELOW:
            inside = ", ".join(_BELOW[path])
            raise UserError(f"config: {path} = {value!r} must be a dict of {inside}")
        if path in _SAME:
            ours, kind = _SAME[path]
            if kind is not None:
                value = kind(path, value) if callable(kind) else require(path, value, kind)
            if path == "train_dataloader.batch_size":
                value *= processes
            source.settle(root, path, ours, value)
        elif path in _NO_EFFECT:
            why, *accepted = _NO_EFFECT[path]
            if value not in accepted:
                notes.append(f"{path} ({why})")
        elif path in _AS_IS:
            advice, *accepted = _AS_IS[path]
            if (type_name(value) if path.endswith(".type") else value) not in accepted:
                raise UserError(f"config: {path} = {value!r}: {advice}")
        elif value is not None or path not in _BELOW:
            raise UserError(_unknown(path))
    for section in SECTIONS:
        if root.get(section) == {} and section != "train_dataloader":
            del root[section]
    return notes


def _leaves(root: dict) -> Iterator[tuple[str, Any]]:
    """All values in :data:`SECTIONS`, by dotted key."""

    def walk(node: Any, path: str) -> Iterator[tuple[str, Any]]:
        if not isinstance(node, dict) or not node or path not in _BELOW:
            yield path, node
            return
        for key, value in node.items():
            if not isinstance(key, str) or "." in key:
                raise UserError(f"config: {path} has no key {key!r}")
            if f"{path}.{key}" not in _OUR_LOADER:
                yield from walk(value, f"{path}.{key}")

    for section in SECTIONS:
        if section in root:
            yield from walk(root[section], section)


def _check_scalars(root: dict) -> list[str]:
    """Check :data:`SCALARS` and the like; returns what has no effect."""
    if not isinstance(root.get("resume", False), bool | None):
        raise UserError(
            f"config: resume = {root['resume']!r} must be True or False. The newest checkpoint of "
            "the work dir is resumed; another one is named by load_from = 'PATH' beside it, or by "
            "--resume PATH"
        )
    log_level(root.get("log_level"))
    if isinstance(root.get("param_scheduler"), dict):
        root["param_scheduler"] = [root["param_scheduler"]]
    scope = root.get("default_scope")
    if scope in (None, "superres", "mmengine"):
        return []
    return [f"default_scope = {scope!r} (types are looked up in superres, then in mmengine)"]


def log_level(value: Any) -> int:
    """``log_level`` of a config as Python's logging counts it; INFO by default.

    Raises:
        UserError: it is not a level.
    """
    level = logging.getLevelName(value.upper()) if isinstance(value, str) else value
    if value is None or type(level) is int:
        return logging.INFO if value is None else level
    raise UserError(
        f"config: log_level = {value!r} must be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'"
    )


def _drop(node: dict, path: str) -> None:
    """Remove a key, and the dicts that it leaves empty."""
    head, _, rest = path.partition(".")
    if rest:
        _drop(node[head], rest)
    if not rest or not (node[head] or head in SECTIONS):
        del node[head]


def _unknown(path: str) -> str:
    parent, _, key = path.rpartition(".")
    near = did_you_mean(key, _BELOW.get(parent, ()))
    return (
        f"config: {parent} has no key {key!r}"
        + (near or f": {SECTIONS[path.split('.')[0]]}.")
        + f" Known: {', '.join(_BELOW.get(parent, ()))}"
    )
