"""Values of a config: by dotted key, as plain Python, and what each must be.

A ``type`` names a class; what its signature takes is what may stand beside it.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

from superres import registry
from superres.errors import UserError, did_you_mean

MISSING = object()
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_READ_BY_BUILDERS = {Hook: {"priority"}, OptimWrapper: {"constructor", "paramwise_cfg"}}


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _one_of(*values: Any) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in values, " or ".join(map(repr, values))


KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "count": (_whole(1), "a whole number of at least 1"),
    "count or 0": (_whole(0), "a whole number of at least 0"),
    "number": (_number, "a number"),
    "amount": (lambda value: _number(value) and value >= 0, "a number of at least 0"),
    "numbers": (lambda v: type(v) in (list, tuple) and all(map(_number, v)), "a list of numbers"),
    "share": (lambda value: isinstance(value, float) and 0 < value < 1, "between 0 and 1"),
    "seconds": (lambda value: _number(value) and value > 0, "a number of seconds"),
    "seed": (lambda value: _whole(0)(value) and value < 2**63, "a whole number below 2**63"),
    "yes or no": (lambda value: isinstance(value, bool), "True or False"),
    "dict": (lambda value: isinstance(value, dict), "a dict"),
    "list": (lambda value: isinstance(value, list), "a list"),
    "part": (lambda value: isinstance(value, dict) and "type" in value, "a dict with a type"),
    "amp": _one_of(False, True, "bfloat16", "float16"),
    "path": (lambda value: isinstance(value, str), "a path"),
    "backend": _one_of("nccl", "gloo"),
    "start method": _one_of("fork", "spawn", "forkserver"),
    "level": (lambda v: type(v) is int or str(v).upper() in _LEVELS, "a level such as DEBUG"),
}
"""What a value must be: the test, and how a message says it."""

_KEYS = {
    "dict": "model model.backbone train_dataloader train_dataloader.dataset optim_wrapper "
    "optim_wrapper.optimizer",
    "dict or None": "optim_wrapper.clip_grad optim_wrapper.paramwise_cfg auto_scale_lr visualizer",
    "list or None": "param_scheduler custom_hooks recompute freeze vis_backends "
    "visualizer.vis_backends",
    "list": "train_dataloader.dataset.pipeline",
    "path or None": "load_from work_dir",
    "count": "max_iters global_batch_size log_interval accumulate train_dataloader.prefetch_factor",
    "count or None": "val_interval checkpoint_interval max_keep_checkpoints",
    "count or 0": "num_workers",
    "number": "optim_wrapper.optimizer.lr",
    "amount": "train_dataloader.dataset.cache_gib eval_dataset.cache_gib",
    "part": "param_scheduler.* train_dataloader.dataset.pipeline.* vis_backends.* "
    "visualizer.vis_backends.*",
    "amp or None": "amp",
    "numbers": "param_scheduler.*.milestones param_scheduler.*.periods",
    "number or None": "param_scheduler.*.step_size param_scheduler.*.T_max param_scheduler.*.gamma "
    "param_scheduler.*.total_steps param_scheduler.*.eta_min param_scheduler.*.eta_max "
    "param_scheduler.*.power",
    "seed or None": "seed",
    "yes or no": "deterministic auto_scale_lr.enable train_dataloader.pin_memory",
    "yes or no or None": "resume",
    "level or None": "log_level",
    "backend": "env_cfg.dist_cfg.backend",
    "seconds": "env_cfg.dist_cfg.timeout",
    "start method or None": "train_dataloader.start_method",
}
KIND_OF = {key: kind for kind, keys in _KEYS.items() for key in keys.split()}
"""Which of :data:`KINDS` a dotted key must be where it is there; others are checked when read."""
PLACE = re.compile(r"\.\d+(?=\.|$)")
"""A place in a list, within a dotted key: ``.*`` in :data:`KIND_OF`."""


def require(path: str, value: Any, kind: str | None) -> Any:
    """The value of a dotted key, which is of one of :data:`KINDS`; 'KIND or None' allows None.

    Raises:
        UserError: it is not.
    """
    if kind is None:
        return value
    of, none, _ = kind.partition(" or None")
    holds, words = KINDS[of]
    if not holds(value) and not (value is None and none):
        raise UserError(f"config: {path} = {value!r} must be {words}{none}")
    return value


def as_parts(speed: Any) -> dict[str, Any]:
    """The config's ``speed`` as a dict, so that one part can be set by itself."""
    if isinstance(speed, dict):
        return speed
    named = {None: "auto", True: "auto", False: "off"}
    return {"preset": named[speed] if speed is None or isinstance(speed, bool) else speed}


def get(node: Any, path: str) -> Any:
    """The value of a dotted key, or ``MISSING``; '' is the whole."""
    for part in filter(None, path.split(".")):
        if not isinstance(node, dict) or part not in node:
            return MISSING
        node = node[part]
    return node


def put(root: Any, path: str, value: Any) -> None:
    """Set a dotted key, of lists by number; one of ``speed`` opens its preset.

    Raises:
        UserError: the path leads through something else than dicts and such lists.
    """
    node, parts = root, path.split(".")
    for i, part in enumerate(parts):
        if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            part = int(part)
        elif not isinstance(node, dict):
            found = f"a list of {len(node)} entries" if isinstance(node, list) else repr(node)
            raise UserError(f"config: {'.'.join(parts[:i])} is {found}, which has no key {part!r}")
        if i + 1 == len(parts):
            node[part] = ConfigDict({"value": value})["value"]
        elif part == "speed" and not i:
            node[part] = ConfigDict(as_parts(node.get(part)))
        elif isinstance(node, dict) and node.get(part) is None:
            node[part] = ConfigDict()
        node = node[part]


def drop(root: Any, path: str) -> None:
    """Remove a dotted key, where it is there."""
    parent, _, key = path.rpartition(".")
    node = get(root, parent)
    if isinstance(node, dict):
        node.pop(key, None)


def walk(node: Any) -> list[tuple[str, Any]]:
    """All parts of a config, each with its dotted path, in the file's order."""
    found, pending = [], [("", node._cfg_dict if isinstance(node, Config) else node)]
    while pending:
        path, node = pending.pop()
        found.append((path, node))
        inside: Any = enumerate(node) if isinstance(node, list | tuple) else ()
        inside = node.items() if isinstance(node, dict) else inside
        pending += reversed([(f"{path}.{k}" if path else str(k), v) for k, v in inside])
    return found


def differing(before: Any, now: Any, show: Callable[[Any], str] = str) -> dict[str, tuple]:
    """The keys whose values differ between two configs, dotted: what ``show`` makes of both.

    None stands for a key that only the other one has. Dicts and lists are compared by their parts.
    """
    one, other = (
        {k: show(v) for k, v in walk(cfg) if not isinstance(v, dict | list)}
        for cfg in (before, now)
    )
    keys = [key for key in one | other if one.get(key) != other.get(key)]
    return {key: (one.get(key), other.get(key)) for key in keys}


def scales_of(cfg: Config) -> list[int]:
    """The scales that a config is about: of ``scale = 4`` just that one."""
    return [*cfg.scale] if isinstance(cfg.scale, list | tuple) else [cfg.scale]


def to_plain(value: Any) -> Any:
    """A config (part) as plain dicts, lists and scalars: for JSON and ``weights_only`` files."""

    def other(value: Any) -> Any:
        return value.item() if hasattr(value, "item") else str(value)  # numpy's, or a path

    value = value._cfg_dict if isinstance(value, Config) else value
    return json.loads(json.dumps(value, default=other))


# -- the classes that a config names ---------------------------------------------------------------


def use_scope() -> None:
    """Look names up in superres first, then in mmengine, without mmengine's warnings about it."""
    if not DefaultScope.check_instance_created(registry.SCOPE):
        DefaultScope.get_instance(registry.SCOPE, scope_name=registry.SCOPE)


def find_type(name: Any) -> Any:
    """The class or function that ``type=name`` stands for, or None."""
    if not isinstance(name, str):
        return name if callable(name) else None
    return next(filter(None, (reg.get(name) for reg in registry.ALL)), None)


def known_types(path: str) -> list[str]:
    """The names that may be a ``type`` there: all, but for hooks and back ends."""
    names: set[str] = set()
    places = {"custom_hooks.": registry.HOOKS, "vis_backends.": registry.VISBACKENDS}
    there = [kind for place, kind in places.items() if place in path]
    for node in there or registry.ALL:
        node.import_from_location()
        names |= {*node.module_dict, *node.parent.module_dict}
    return sorted(names)


def accepted_arguments(node: Any) -> set[str] | None:
    """The keywords that ``dict(type=...)`` may carry; None where anything goes."""
    cls = find_type(node["type"])
    if cls is None:
        return None
    names = {"type", "_scope_"}
    bases = inspect.getmro(cls) if inspect.isclass(cls) else (cls,)
    names = names.union(*(_READ_BY_BUILDERS.get(kind, ()) for kind in bases))
    for kind in bases:
        try:
            parameters = inspect.signature(kind).parameters.values()
        except (TypeError, ValueError):
            return None
        names |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        # **kwargs hands the rest on to the next class of the inheritance.
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            return names
    return None


def check_types(cfg: Config) -> None:
    """Every ``type`` is known, and takes the arguments given to it.

    Raises:
        UserError: naming the key, and near matches.
    """
    for path, node in walk(cfg):
        typed = isinstance(node, dict) and "type" in node
        if not typed or path == "optim_wrapper.clip_grad":  # whose type is 'norm' or 'value'
            continue
        name, accepted = node["type"], accepted_arguments(node)
        if accepted is None and find_type(name) is None:
            near = did_you_mean(name, known_types(path)) or "."
            own = "One of your own: custom_imports=dict(imports=['ITS_MODULE'])"
            raise UserError(f"config: {path}.type = {name!r} is not registered{near} {own}")
        for key in node.keys() - (node.keys() if accepted is None else accepted):
            near = did_you_mean(key, accepted) or "."
            takes = f"It takes: {', '.join(sorted(accepted - {'type', '_scope_'}))}"
            raise UserError(f"config: {path}: {name} takes no argument {key!r}{near} {takes}")


@contextmanager
def blame(path: str, node: Any) -> Iterator[None]:
    """What a constructor says against its arguments, with the place in the config.

    Raises:
        UserError: instead of TypeError, ValueError and the like.
    """
    wrong = (TypeError, ValueError, LookupError, AssertionError, AttributeError, RuntimeError)
    wrong += (ArithmeticError, ImportError)
    try:
        yield
    except wrong as error:
        name = f"{node['type']}: " if isinstance(node, dict) and "type" in node else ""
        raise UserError(f"config: {path}: {name}{error}") from error
