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

import re
from collections.abc import Callable, Iterator
from typing import Any

from mmengine.config import Config

from superres.errors import UserError, did_you_mean

from .mmengine_hooks import DEFAULT_HOOKS, ITERATIONS, translate_hooks, type_name
from .reading import Source
from .values import require

_ADVICE = {
    "default_hooks": "superres's own hooks have a fixed order; one of yours stands in custom_hooks",
    "default_hooks.checkpoint": "checkpoints are whole and lie in the work dir, --work-dir DIR; of "
    "scores the larger is better; interval=-1 saves the last iteration only, and "
    f"{ITERATIONS}: write by_epoch=False",
    "default_hooks.logger": f"write dict(interval=N); {ITERATIONS}, log.jsonl is in the work dir",
    "default_hooks.param_scheduler": "write param_scheduler = [] for a constant rate",
    "default_hooks.visualization": "tensorboard shows results",
    "randomness": "it may hold seed and deterministic; what a network draws differs between ranks",
    "env_cfg": "it may hold cudnn_benchmark, mp_cfg and dist_cfg",
    "env_cfg.mp_cfg.opencv_num_threads": "a worker has one thread",
    "env_cfg.dist_cfg": "it may hold backend and timeout; set MASTER_PORT in the environment",
    "env_cfg.resource_limit": "ulimit -n sets it",
    "train_cfg": f"{ITERATIONS}; write max_iters = N and val_interval = N",
    "val_cfg": "validation scores val_sets and test_sets by protocols",
    "test_cfg": "'superres test' scores test_sets by protocols",
    "train_dataloader": "samples come in random order, a function of (seed, iteration): write seed "
    "= N, global_batch_size and num_workers; PackInputs and the loader make batches of them",
    "train_dataloader.persistent_workers": "workers live as long as the run",
    "train_dataloader.drop_last": "every batch is full",
    "log_processor": "log.jsonl holds the means of each log_interval",
    "experiment_name": "the work dir names the run",
}
"""What to write instead, or why a key has no effect: of the longest that is the start of one."""

SECTIONS = tuple(path for path in _ADVICE if "." not in path)
"""Top-level keys that :func:`translate` takes apart."""

SCALARS = ("resume", "launcher", "log_level")
"""mmengine's keys that are superres's, too."""

_OUR_LOADER = ("dataset", "start_method", "prefetch_factor")
"""superres's own keys of ``train_dataloader``, which stay as they are."""

OPTIMISER = "write optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))"
_SETS = "write val_sets = [...] and test_sets = [...]: names below data_root, or folders"
_SCORES = "write protocols = 'mmediting-rgb', or a dict from set to protocol"
REFUSED = {
    **dict.fromkeys(("val_dataloader", "test_dataloader", "data"), _SETS),
    **dict.fromkeys(("val_evaluator", "test_evaluator"), _SCORES),
    "data_preprocessor": "write model = dict(data_preprocessor=dict(...))",
    "model_wrapper_cfg": "remove it: processes are connected by MMDistributedDataParallel",
    "find_unused_parameters": "write it as an attribute of the restorer's class",
    "compile": "write speed = dict(compile=True)",
    "activation_checkpointing": "write recompute = ['body.*'], the names of the backbone's blocks",
    # MMEditing 0.x
    **dict.fromkeys(("total_iters", "runner"), "write max_iters = N"),
    **dict.fromkeys(("optimizer", "optimizers"), OPTIMISER),
    "optimizer_config": "write optim_wrapper = dict(clip_grad=dict(max_norm=1.0))",
    "lr_config": "write param_scheduler = [dict(type='MultiStepLR', by_epoch=False, ...)]",
    "evaluation": "write val_interval = N, save_best and protocols",
    "checkpoint_config": "write checkpoint_interval = N and max_keep_checkpoints = N",
    "log_config": "write log_interval = N and tensorboard = True",
    "resume_from": "write resume = True and load_from = 'PATH', or --resume PATH",
    "auto_resume": "write resume = True",
    "fp16": "write amp = 'float16' or amp = True",
    "cudnn_benchmark": "write speed = dict(autotune=True)",
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
    metric = r"(?i)(?<![^/])(psnr|ssim)(?=@|$)"
    return names[0] and re.sub(metric, lambda found: found[0].lower(), str(names[0]))


_START_METHOD = "train_dataloader.start_method"
_SAME: dict[str, tuple[str, str | Callable[[str, Any], Any] | None]] = {
    "randomness.seed": ("seed", "seed or None"),
    "randomness.deterministic": ("deterministic", "yes or no"),
    "train_cfg.max_iters": ("max_iters", "count"),
    "train_cfg.val_interval": ("val_interval", "count"),
    "default_hooks.checkpoint.interval": ("checkpoint_interval", _never),
    "default_hooks.checkpoint.max_keep_ckpts": ("max_keep_checkpoints", _never),
    "default_hooks.checkpoint.save_best": ("save_best", _best),
    "default_hooks.logger.interval": ("log_interval", "count"),
    "env_cfg.cudnn_benchmark": ("speed.autotune", "yes or no"),
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

_MUST: dict[str, tuple[Any, ...]] = {
    **{f"default_hooks.{name}.type": (kind,) for name, kind in DEFAULT_HOOKS.items()},
    **{f"default_hooks.{name}": ({},) for name in ("checkpoint", "logger", "param_scheduler")},
    **dict.fromkeys(("default_hooks.checkpoint.by_epoch", "train_cfg.by_epoch"), (False,)),
    "default_hooks.checkpoint.rule": (None, "greater", ["greater"]),
    "train_cfg.type": ("IterBasedTrainLoop",),
    "val_cfg.type": ("ValLoop", "MultiValLoop", "EditValLoop"),
    "test_cfg.type": ("TestLoop", "MultiTestLoop", "EditTestLoop"),
    "train_dataloader.sampler.type": ("InfiniteSampler", "DefaultSampler"),
    "train_dataloader.collate_fn.type": ("default_collate", "pseudo_collate"),
    **dict.fromkeys(("train_dataloader.shuffle", "train_dataloader.sampler.shuffle"), (True, None)),
    **dict.fromkeys(("train_dataloader.batch_sampler", "train_dataloader.sampler.seed"), (None,)),
    **dict.fromkeys(("train_cfg.max_epochs", "train_cfg.dynamic_intervals"), (None,)),
    **dict.fromkeys(("test_cfg.metrics", "test_cfg.crop_border", "env_cfg.dist_cfg.port"), (None,)),
}
"""The values that say what is done anyway, where others would train or score differently."""

_QUIET: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        ("save_optimizer", "save_last", "save_param_scheduler", "ignore_last"), (True,)
    ),
    **dict.fromkeys(("persistent_workers", "drop_last", "round_up", "diff_rank_seed"), (True,)),
    "priority": ("VERY_HIGH", "NORMAL", "BELOW_NORMAL", "LOW", "VERY_LOW"),
    "log_metric_by_epoch": (False,),
    "opencv_num_threads": (0,),
    "val_begin": (0, 1),
    "init_backend": ("torch",),
    "out_dir": ("work_dirs", "./work_dirs", "./work_dirs/"),
}
"""By the last part of a key: what needs no word, as it is what is done. The rest changes nothing
here, and that is said."""

_BELOW: dict[str, dict[str, None]] = {
    "train_dataloader": dict.fromkeys(_OUR_LOADER),
    "default_hooks": {"visualization": None},
}
"""The known keys directly inside a dotted key."""
for _path in (*_SAME, *_MUST):
    while "." in _path:
        _path, _, _key = _path.rpartition(".")
        _BELOW.setdefault(_path, {})[_key] = None


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
    root, notes = cfg._cfg_dict, []
    if isinstance(root.get("param_scheduler"), dict):
        root["param_scheduler"] = [root["param_scheduler"]]
    if root.get("default_scope") not in (None, "superres", "mmengine"):
        notes.append("default_scope (types are looked up in superres, then mmengine)")
    translate_hooks(root, source, notes)
    sections = {section: root.pop(section) for section in SECTIONS if section in root}
    loader = sections.get("train_dataloader")
    if isinstance(loader, dict):
        ours = {key: loader.pop(key) for key in _OUR_LOADER if key in loader}
        root["train_dataloader"] = type(loader)(ours)
    for path, value in [leaf for name, node in sections.items() for leaf in _leaves(name, node)]:
        parent, _, key = path.rpartition(".")
        if key == "_scope_":
            continue
        what, known = f"config: {path} = {value!r}", _BELOW.get(parent, ())
        if value not in (None, {}) and path in _BELOW:
            raise UserError(f"{what} must be a dict of {', '.join(_BELOW[path])}")
        if path in _SAME and value != {}:
            ours, kind = _SAME[path]
            if kind is not None:
                value = kind(path, value) if callable(kind) else require(path, value, kind)
            if path == "train_dataloader.batch_size":
                value *= processes
            source.settle(root, path, ours, value)
        elif path in _MUST:
            if (type_name(value) if key == "type" else value) not in _MUST[path]:
                hook = key == "type" and path.startswith("default_hooks.")
                raise UserError(f"{what}: {_advice('default_hooks' if hook else path)}")
        elif value not in (None, {}, *_QUIET.get(key, ())):
            if key not in known and (near := did_you_mean(key, known, 0.8)):
                raise UserError(f"{what}: no such key{near} Known: {', '.join(known)}")
            notes.append(f"{path} ({_advice(path)})")
    return notes


def _leaves(path: str, node: Any) -> Iterator[tuple[str, Any]]:
    """All values in one of :data:`SECTIONS`, by dotted key."""
    if isinstance(node, dict) and node and path in _BELOW:
        for key, value in node.items():
            yield from _leaves(f"{path}.{key}", value)
    else:
        yield path, node


def _advice(path: str) -> str:
    while path not in _ADVICE:
        path = path.rpartition(".")[0]
    return _ADVICE[path]
