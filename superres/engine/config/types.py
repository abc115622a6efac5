"""The classes that a config names, and what their signatures take."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

from superres import registry
from superres.errors import UserError, did_you_mean

from .values import KINDS, walk

_READ_BY_BUILDERS = {Hook: {"priority"}, OptimWrapper: {"constructor", "paramwise_cfg"}}


def use_scope() -> None:
    """Look names up in superres first, then in mmengine, without mmengine's warnings about it."""
    if not DefaultScope.check_instance_created(registry.SCOPE):
        DefaultScope.get_instance(registry.SCOPE, scope_name=registry.SCOPE)


def find_type(name: Any) -> Any:
    """The class or function that ``type=name`` stands for, or None."""
    if not isinstance(name, str):
        return name if callable(name) else None
    return next(filter(None, (reg.get(name) for reg in registry.ALL)), None)


def known_types() -> list[str]:
    """All names that a config may use as ``type``."""
    names: set[str] = set()
    for node in registry.ALL:
        node.import_from_location()
        while node is not None:
            names.update(node.module_dict)
            node = node.parent
    return sorted(names)


def accepted_arguments(node: Any) -> set[str] | None:
    """The keywords that ``dict(type=...)`` may carry; None where anything goes."""
    cls = find_type(node["type"])
    if cls is None:
        return None
    names = {"type", "_scope_"}
    bases = inspect.getmro(cls) if inspect.isclass(cls) else (cls,)
    for kind in bases:
        names |= _READ_BY_BUILDERS.get(kind, set())
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


def walk_types(node: Any) -> list[tuple[str, dict]]:
    """All dicts with a ``type`` in a config, each with its dotted path, in the file's order."""
    return [(path, part) for path, part in walk(node) if isinstance(part, dict) and "type" in part]


def check_types(cfg: Config) -> None:
    """Every ``type`` is known, and takes the arguments given to it.

    Raises:
        UserError: naming the key, and near matches.
    """
    for path, node in walk_types(cfg):
        if path == "optim_wrapper.clip_grad":  # 'norm' or 'value'
            continue
        name = node["type"]
        if find_type(name) is None:
            raise UserError(
                f"config: {path}.type = {name!r} is not registered"
                f"{did_you_mean(name, known_types()) or '.'} A module of your "
                "own is imported with custom_imports=dict(imports=[...])."
            )
        accepted = accepted_arguments(node)
        for key in node.keys() - (node.keys() if accepted is None else accepted):
            takes = ", ".join(sorted(accepted - {"type", "_scope_"}))
            raise UserError(
                f"config: {path}: {name} takes no argument {key!r}"
                f"{did_you_mean(key, accepted) or '.'} It takes: {takes}"
            )


@contextmanager
def blame(path: str, node: Any) -> Iterator[None]:
    """What a constructor says against its arguments, with the place in the config.

    Raises:
        UserError: instead of TypeError, ValueError and the like.
    """
    wrong = (TypeError, ValueError, LookupError, AssertionError, AttributeError, RuntimeError)
    try:
        yield
    except wrong as error:
        name = node.get("type", "") if isinstance(node, dict) else ""
        raise UserError(f"config: {path}: {name}: {error}") from error


def of_its_kind(value: Any, default: Any) -> str | None:
    """What an argument must be, or None if it is that; its default tells."""
    if isinstance(default, tuple):
        if value is None and isinstance(default[0], float):
            return None
        entries = value if isinstance(value, (list, tuple)) and value else [None]
        wrong = any(of_its_kind(v, default[0]) for v in entries)
        return f"a list such as {list(default)}" if wrong else None
    kind = {bool: "yes or no", int: "count", float: "number"}.get(type(default))
    holds, words = KINDS[kind] if kind else (lambda _: True, "")
    return None if holds(value) else words
