"""The files of a config and the keys that each states, so that the later of two spellings wins."""

from __future__ import annotations

import ast
import contextlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.fileio import load

from superres.errors import UserError
from superres.paths import share_dir

from .values import MISSING, get, put

Depth = Callable[[str], float | None]
"""Of a dotted key: how far from the command line it was written; None where nobody wrote it."""

LEAF = 2
"""Depth of the config itself: behind the command line, and what was changed in a Config object."""


_MOST_FILES, _DEEPEST = 500, 50


def base_files(path: Path) -> dict[Path, int]:
    """The config and all files it inherits from, and how many steps away; none of them is run.

    Raises:
        UserError: they inherit from each other in a circle, or without end.
    """
    found: dict[Path, int] = {}
    for file, away in _inherited(path):
        found[file] = min(away, found.get(file, away))
    return found


def _inherited(path: Path, seen: tuple[Path, ...] = ()) -> list[tuple[Path, int]]:
    if path.resolve() in seen:
        raise UserError(f"config {path} inherits from itself: look at its _base_")
    if len(seen) > _DEEPEST:
        raise UserError(f"config {path}: more than {_DEEPEST} files inherit from each other")
    found = [(path, len(seen))]
    for base in _bases(path):
        found += _inherited(path.parent / base, (*seen, path.resolve()))
        if len(found) > _MOST_FILES:
            raise UserError(f"config {path}: its _base_ leads to too many files")
    return found


def _bases(path: Path) -> list[str]:
    """What a file's ``_base_`` says; nothing where it cannot be read, which is told elsewhere."""
    found: list[str] = []
    with contextlib.suppress(Exception):  # YAML's, JSON's and Python's parsers raise their own
        if path.suffix != ".py":
            bases = load(str(path)).get("_base_", [])
            return [bases] if isinstance(bases, str) else list(map(str, bases))
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_base_":
                bases = ast.literal_eval(node.value)
                found += [bases] if isinstance(bases, str) else list(map(str, bases))
    return found


def depths(
    files: Mapping[Path, int],
    options: Iterable[str] = (),
    changed: Callable[[str], bool] = lambda _: False,
) -> Depth:
    """Where keys were written, so that of two spellings the later one can win.

    Args:
        files: a config's files, and how many steps of inheritance each is away from it.
        options: dotted keys of ``--cfg-options``.
        changed: whether a key of a Config object differs from what its file says.
    """
    defaults = share_dir("configs") / "_base_"
    found: dict[str, float] = {}
    for file, level in files.items():
        level = math.inf if defaults in file.resolve().parents else level + LEAF
        for path in _written(file):
            found[path] = min(level, found.get(path, math.inf))
    found.update(dict.fromkeys(options, 0))

    def depth(path: str) -> float | None:
        around = [p for p in found if f"{path}.".startswith(f"{p}.") or p.startswith(f"{path}.")]
        known = [found[p] for p in around]
        return 1 if 0 not in known and changed(path) else min(known, default=None)

    return depth


def _written(file: Path) -> Iterator[str]:
    """The dotted keys that a config file itself states; it is not run."""
    if file.suffix != ".py":
        yield from _paths(load(str(file)))
        return
    text = file.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError:  # mmengine's {{...}}
        yield from re.findall(r"^(\w+)\s*=", text, re.MULTILINE)
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _literal_paths(node.value, _dotted(target))
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            yield _dotted(node.target)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield _dotted(node.func.value)  # NAME.update(...)


def _paths(node: Any, path: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _paths(value, f"{path}.{key}" if path else str(key))
    else:
        yield path


def _literal_paths(node: ast.expr, path: str) -> Iterator[str]:
    entries: list[tuple[Any, ast.expr]] = [(None, node)]
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dict":
        entries = [(keyword.arg, keyword.value) for keyword in node.keywords]
    elif isinstance(node, ast.Dict):
        entries = [(getattr(k, "value", None), v) for k, v in zip(node.keys, node.values)]
    for key, value in entries:
        if key is None:
            yield path
        else:
            yield from _literal_paths(value, f"{path}.{key}")


def _dotted(node: ast.expr) -> str:
    """``a['b'].c`` as 'a.b.c'; an entry without a constant name as what it is in."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Subscript):
        inside = _dotted(node.value)
        return f"{inside}.{node.slice.value}" if isinstance(node.slice, ast.Constant) else inside
    return ""


def settle(root: dict, theirs: str, ours: str, value: Any, depth: Depth) -> None:
    """Give ``ours`` the value of ``theirs``, unless it was itself written later.

    Raises:
        UserError: both were written in one place, and differ.
    """
    here = get(root, ours)
    if here == value:
        return
    far = depth(ours)
    if far is None:
        far = math.inf if here is MISSING else LEAF
    near = depth(theirs)
    near = LEAF if near is None else near
    if near > far:
        return
    if near == far < math.inf and here is not MISSING:
        raise UserError(
            f"config: {theirs} asks for {ours} = {value!r}, but {ours} = {here!r} is there as "
            "well; remove one of them"
        )
    put(root, ours, value)
