"""OpenMMLab's config keys and hooks: translated into superres's, or refused by name.

A config may state what mmengine's Runner reads: ``resume``, ``randomness``, ``default_hooks``,
``env_cfg``, ``train_cfg``, the arguments of a DataLoader, mmengine's own hooks. What has a
counterpart is moved to it, so that the rest of the program knows one spelling. What would train
differently is an error that says what to write. What changes nothing here is named in a warning.

Where both spellings are there, the one that was written last wins: on the command line, else in
the file that inherits from the other (see :func:`overrule`). The files of ``configs/_base_`` hold
defaults, so anything wins over them. Two that contradict each other in one place are an error.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import mmengine.hooks
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner.priority import Priority, get_priority

from superres.errors import UserError, did_you_mean
from superres.registry import HOOKS

from .values import KIND_OF, MISSING, blame, drop, find_type, get, put, require, to_plain, walk

ITERATIONS = "training counts iterations, not epochs"
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

OPTIMISER = "write optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-4), clip_grad=None)"
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
    **dict.fromkeys(("optimizer", "optimizers", "optimizer_config"), OPTIMISER),
    "lr_config": "write param_scheduler = [dict(type='MultiStepLR', by_epoch=False, ...)]",
    "evaluation": "write val_interval = N, save_best and protocols",
    "checkpoint_config": "write checkpoint_interval = N and max_keep_checkpoints = N",
    "log_config": "write log_interval = N and tensorboard = True",
    **dict.fromkeys(
        ("resume_from", "auto_resume"), "write resume = True (and load_from = 'PATH'), or --resume"
    ),
    "fp16": "write amp = 'float16' or amp = True",
    "cudnn_benchmark": "write speed = dict(autotune=True)",
    "dist_params": "write env_cfg = dict(dist_cfg=dict(backend='nccl'))",
    "mp_start_method": "write train_dataloader = dict(start_method='fork')",
}
"""Top-level keys of mmengine and mmcv that are not read, and what to write instead."""

_SAME = {
    "fast": "speed",  # its older name, which load_config replaces
    "randomness.seed": "seed",
    "randomness.deterministic": "deterministic",
    "train_cfg.max_iters": "max_iters",
    "train_cfg.val_interval": "val_interval",
    "default_hooks.checkpoint.interval": "checkpoint_interval",
    "default_hooks.checkpoint.max_keep_ckpts": "max_keep_checkpoints",
    "default_hooks.checkpoint.save_best": "save_best",
    "default_hooks.logger.interval": "log_interval",
    "env_cfg.cudnn_benchmark": "speed.autotune",
    "env_cfg.mp_cfg.mp_start_method": "train_dataloader.start_method",
    "train_dataloader.multiprocessing_context": "train_dataloader.start_method",
    "train_dataloader.batch_size": "global_batch_size",
    "train_dataloader.num_workers": "num_workers",
}
"""Other spellings of our keys."""

_OURS = (
    *("train_dataloader.dataset", "train_dataloader.start_method", "train_dataloader.pin_memory"),
    *("train_dataloader.prefetch_factor", "env_cfg.dist_cfg.backend", "env_cfg.dist_cfg.timeout"),
)
"""Keys within :data:`SECTIONS` that stay as they are."""

DEFAULT_HOOKS = {
    "checkpoint": "CheckpointHook",
    "logger": "LoggerHook",
    "timer": "IterTimerHook",
    "param_scheduler": "ParamSchedulerHook",
    "sampler_seed": "DistSamplerSeedHook",
    "runtime_info": "RuntimeInfoHook",
}
"""mmengine's own; others in ``default_hooks`` are like custom ones, but for ``visualization``,
which is every toolbox's own."""

_MUST: dict[str, tuple[Any, ...]] = {
    **{f"default_hooks.{name}.type": (kind,) for name, kind in DEFAULT_HOOKS.items()},
    **{f"default_hooks.{name}": () for name in ("checkpoint", "logger", "param_scheduler")},
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


def _below(path: str) -> dict[str, None]:
    """The known keys directly inside a dotted key, in their order."""
    known = (*_SAME, *_OURS, *_MUST, "default_hooks.visualization")
    inside = [key[len(path) + 1 :] for key in known if key.startswith(f"{path}.")]
    return dict.fromkeys(key.partition(".")[0] for key in inside)


def overrule(later: Mapping[str, Any], earlier: dict) -> None:
    """Remove from a config what a later one states in the other spelling.

    Args:
        later: what wins: a file's own content, or options, as a tree.
        earlier: the tree that it is about to be merged into.
    """
    stated = {path for path, _ in walk(later)}
    for theirs, ours in _SAME.items():
        for given, other in ((theirs, ours), (ours, theirs)):
            if given in stated:
                drop(earlier, other)
    hooks, new = earlier.get("custom_hooks"), later.get("custom_hooks")
    if "ema" in later and isinstance(hooks, list):
        earlier["custom_hooks"] = [hook for hook in hooks if not _averages(hook)]
    if isinstance(new, list) and any(map(_averages, new)):
        earlier.pop("ema", None)


def _move(root: dict, theirs: str, ours: str, value: Any, defaults: Sequence[Mapping]) -> None:
    """Give ``ours`` the value of ``theirs``.

    Raises:
        UserError: both are there, and differ.
    """
    here = get(root, ours)
    if here is not MISSING and here != value and all(get(d, ours) != here for d in defaults):
        what = f"config: {theirs} asks for {ours} = {value!r}, but {ours} = {here!r} is there"
        raise UserError(f"{what} as well; remove one of them")
    put(root, ours, value)


def translate(cfg: Config, defaults: Sequence[Mapping] = (), processes: int = 1) -> list[str]:
    """Move what is in OpenMMLab's spelling to superres's keys, in place.

    Args:
        cfg: as read.
        defaults: what the files of ``configs/_base_`` state, over which anything wins.
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
    if isinstance(root.get("custom_hooks") or [], list):
        _translate_hooks(root, defaults)
    sections = {key: root.pop(key) for key in SECTIONS if key in root}
    for path, value in [leaf for name, node in sections.items() for leaf in _leaves(name, node)]:
        parent, _, key = path.rpartition(".")
        what = f"config: {path} = {value!r}"
        if key == "_scope_" or value == {}:
            continue
        if value is not None and (known := _below(path)):
            raise UserError(f"{what} must be a dict of {', '.join(known)}")
        if path in _OURS:
            put(root, path, require(path, value, KIND_OF.get(path)))
        elif path in _SAME:
            value = _converted(path, value)
            value = value * processes if key == "batch_size" else value
            _move(root, path, _SAME[path], value, defaults)
        elif path in _MUST:
            if (type_name(value) if key == "type" else value) not in _MUST[path]:
                hook = key == "type" and path.startswith("default_hooks.")
                raise UserError(f"{what}: {_advice('default_hooks' if hook else path)}")
        elif value is not None:
            known = _below(parent)
            if key not in known and (near := did_you_mean(key, known, 0.8)):
                raise UserError(f"{what}: no such key{near} Known: {', '.join(known)}")
            notes.append(f"{path} ({_advice(path)})")
    return notes


def _leaves(path: str, node: Any) -> Iterator[tuple[str, Any]]:
    """All values in one of :data:`SECTIONS`, by dotted key."""
    if isinstance(node, dict) and node and _below(path):
        for key, value in node.items():
            yield from _leaves(f"{path}.{key}", value)
    else:
        yield path, node


def _converted(path: str, value: Any) -> Any:
    """A value of theirs as ours: -1 of intervals is None, ``['PSNR']`` is ``'psnr'``."""
    if path.startswith("default_hooks.checkpoint.") and value in (-1, 0):
        return None
    if path == "default_hooks.checkpoint.save_best":
        names = value if isinstance(value, list | tuple) else [value]
        if len(names) != 1:
            raise UserError(f"config: {path} = {value!r}: there is one best.pth; name one metric")
        metric = r"(?i)(?<![^/])(psnr|ssim)(?=@|$)"
        return names[0] and re.sub(metric, lambda found: found[0].lower(), str(names[0]))
    return require(path, value, KIND_OF.get(_SAME[path]))


def _advice(path: str) -> str:
    while path not in _ADVICE:
        path = path.rpartition(".")[0]
    return _ADVICE[path]


def type_name(kind: Any) -> str:
    """``'mmengine.EMAHook'`` and the class itself as 'EMAHook'."""
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", repr(kind))
    return re.split(r"\.|::", name)[-1]


# -- hooks -----------------------------------------------------------------------------------------

_INSTEAD = {
    **dict.fromkeys(DEFAULT_HOOKS.values(), "the training loop does this itself"),
    "CheckpointHook": "write checkpoint_interval, max_keep_checkpoints and save_best, or "
    "default_hooks = dict(checkpoint=dict(interval=N))",
    "LoggerHook": "write log_interval = N, or default_hooks = dict(logger=dict(interval=N))",
    "EMAHook": "validation would not see its average; write ema = 0.999",
    "NPUProfilerHook": "use ProfilerHook",
    "NaiveVisualizationHook": "use 'superres test --save-images', or tensorboard = True",
    "PrepareTTAHook": "use 'superres test --self-ensemble'",
    "ExponentialMovingAverageHook": "write ema = 0.999",  # MMagic's and MMEditing's
    "BasicVisualizationHook": "write tensorboard = True",
    "EvaluationHook": "write val_interval = N and save_best",  # ours
}
"""What stands for a hook, or for one that inherits from it: beside the loop, it would step the
learning rate twice, or average weights that validation never sees."""


def _translate_hooks(root: dict, defaults: Sequence[Mapping]) -> None:
    """Take hooks out of ``custom_hooks`` that something else stands for; put further default ones
    in front."""
    theirs, kept, averages = root.get("default_hooks"), [], []
    known = (*DEFAULT_HOOKS, "visualization")
    more = [n for n in theirs if n not in known] if isinstance(theirs, dict) else []
    entries = [(f"default_hooks.{n}", one) for n in more if (one := theirs.pop(n)) is not None]
    entries += [(f"custom_hooks.{i}", one) for i, one in enumerate(root.get("custom_hooks") or [])]
    for path, entry in entries:
        if not isinstance(entry, dict) or "type" not in entry:
            own = f"; mmengine's own are {', '.join(DEFAULT_HOOKS)}" if path[0] == "d" else ""
            raise UserError(f"config: {path} = {entry!r} must be a dict with a type{own}")
        name, kind = type_name(entry["type"]), _class_of(entry)
        if not (isinstance(kind, type) and issubclass(kind, Hook)) and find_type(entry["type"]):
            what = "a class of mmengine.hooks.Hook that is registered in superres.registry.HOOKS"
            raise UserError(f"config: {path}.type = {name!r} is not a hook: {what}")
        ancestors = getattr(kind, "__mro__", ())
        if mmengine.hooks.ProfilerHook in ancestors and entry.get("by_epoch", True):
            raise UserError(f"config: {path}: {name}: {ITERATIONS}; write by_epoch=False")
        own = ("mmengine.hooks.", "superres.engine.hooks.")
        names = [base.__name__ for base in ancestors if base.__module__.startswith(own)] or [name]
        like = next(filter(_INSTEAD.__contains__, names), "")
        if _averages(entry):
            averages.append(path)
            if averages[1:]:
                raise UserError(f"config: {' and '.join(averages)} average; remove one of them")
            _move(root, path, "ema", _ema(path, entry), defaults)
        elif not like:
            kept.append(entry)
        else:
            of = f", a kind of {like}," if like != name else ""
            raise UserError(f"config: {path}: {name}{of} cannot be used here; {_INSTEAD[like]}")
    if entries:
        root["custom_hooks"] = kept


def _class_of(entry: Any) -> Any:
    """The class of a hook's dict, where there is one."""
    kind = entry.get("type") if isinstance(entry, dict) else None
    return HOOKS.get(kind) if isinstance(kind, str) else kind


def _averages(entry: Any) -> bool:
    """Whether it is mmengine's or our EMAHook, for which the key ``ema`` stands."""
    return _class_of(entry) in (HOOKS.get("superres.EMAHook"), mmengine.hooks.EMAHook)


def _ema(path: str, entry: dict) -> float | dict[str, Any]:
    """``dict(type='EMAHook', momentum=...)``, mmengine's or ours, as the key ``ema``."""
    usual = inspect.signature(mmengine.hooks.EMAHook).parameters
    ema = {"decay": 1 - require(f"{path}.momentum", entry.get("momentum", 0.0002), "share")}
    for key, value in entry.items():
        if key in ("decay", "begin", "begin_iter", "interval", "priority"):
            ema[key.removesuffix("_iter")] = value
        elif key not in ("type", "_scope_", "momentum") and (
            key not in usual or value != usual[key].default
        ):
            hint = "it is the exponential one, by momentum, begin_iter, interval and priority"
            raise UserError(f"config: {path}: EMAHook cannot have {key} = {value!r}; {hint}")
    return ema if ema.keys() - {"decay"} else ema["decay"]


def build_hook(place: str, node: dict[str, Any]) -> Hook:
    """A hook of the config, with the priority that it states.

    Raises:
        UserError: its arguments do not fit, or its priority is none; ``place`` is named.
    """
    with blame(place, node):
        hook = HOOKS.build({key: value for key, value in node.items() if key != "priority"})
    hook.priority = value = node.get("priority", hook.priority)
    try:
        get_priority("" if isinstance(value, bool) else value)
    except (KeyError, ValueError, TypeError):
        names = f"{', '.join(p.name for p in Priority)}, or a whole number from 0 to 100"
        raise UserError(f"config: {place}.priority = {value!r} must be one of {names}") from None
    return hook


def test_hooks(cfg: Config) -> list[Hook]:
    """Those of ``custom_hooks`` that have something to do in a test."""
    return [
        build_hook("custom_hooks", node)
        for node in to_plain(cfg.get("custom_hooks") or [])
        if "_test" in " ".join(Hook.get_triggered_stages(find_type(node["type"])))
    ]
