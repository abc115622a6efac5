"""Values of a config: by dotted key, as plain Python, and what each kind of them must be."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from mmengine.config import Config, ConfigDict

from superres.errors import UserError

MISSING = object()


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "count": (_whole(1), "a whole number of at least 1"),
    "count or 0": (_whole(0), "a whole number of at least 0"),
    "number": (_number, "a number"),
    "share": (lambda value: isinstance(value, float) and 0 < value < 1, "between 0 and 1"),
    "seconds": (lambda value: _number(value) and value > 0, "a number of seconds"),
    "seed": (lambda value: _whole(0)(value) and value < 2**63, "a whole number below 2**63"),
    "yes or no": (lambda value: isinstance(value, bool), "True or False"),
    "dict": (lambda value: isinstance(value, dict), "a dict"),
    "list": (lambda value: isinstance(value, list), "a list"),
    "path": (lambda value: isinstance(value, str), "a path"),
    "backend": (lambda value: value in ("nccl", "gloo"), "'nccl' or 'gloo'"),
}
"""What a value must be: the test, and how a message says it."""


def require(path: str, value: Any, kind: str) -> Any:
    """The value of a dotted key, which is of one of :data:`KINDS`; 'KIND or None' allows None.

    Raises:
        UserError: it is not.
    """
    of, none, _ = kind.partition(" or None")
    holds, words = KINDS[of]
    if not holds(value) and not (value is None and none):
        raise UserError(f"config: {path} = {value!r} must be {words}{none}")
    return value


def as_parts(fast: Any) -> dict[str, Any]:
    """The config's ``fast`` as a dict, of which one part can be set by itself."""
    if isinstance(fast, dict):
        return fast
    named = {None: "auto", True: "auto", False: "off"}
    return {"preset": named[fast] if fast is None or isinstance(fast, bool) else fast}


def get(node: Any, path: str) -> Any:
    """The value of a dotted key, or ``MISSING``."""
    for part in path.split("."):
        if not isinstance(node, dict) or part not in node:
            return MISSING
        node = node[part]
    return node


def put(root: Any, path: str, value: Any) -> None:
    """Set a dotted key, of lists by number; one of ``fast`` opens its preset.

    Raises:
        UserError: the path leads through something that is no dict and no such list.
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
        elif part == "fast" and not i:
            node[part] = ConfigDict(as_parts(node.get(part)))
        elif isinstance(node, dict) and node.get(part) is None:
            node[part] = ConfigDict()
        node = node[part]


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


def scales_of(cfg: Config) -> list[int]:
    """The scales that a config is about: of ``scale = 4`` just that one."""
    scale = cfg["scale"]
    return [int(s) for s in scale] if isinstance(scale, (list, tuple)) else [scale]


def to_plain(value: Any) -> Any:
    """A config (part) as plain dicts, lists and scalars: for JSON and ``weights_only`` files."""

    def other(value: Any) -> Any:
        return value.item() if hasattr(value, "item") else str(value)  # numpy's, or a path

    value = value._cfg_dict if isinstance(value, Config) else value
    return json.loads(json.dumps(value, default=other))


_MEAN_TOLERANCE = 0.01


def same_argument(key: str, a: Any, b: Any) -> bool:
    """Whether an argument of two networks is the same, but for a mean that was trained a little."""
    if key == "rgb_mean" and a and b and len(a) == len(b):
        return all(abs(x - y) <= _MEAN_TOLERANCE for x, y in zip(a, b))
    return a == b
