"""Values of a config by dotted key, and as plain Python."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config, ConfigDict

MISSING = object()


def as_parts(fast: Any) -> dict[str, Any]:
    """The config's ``fast`` as a dict, of which one part can be set by itself."""
    if isinstance(fast, dict):
        return fast
    return {"preset": fast if isinstance(fast, str) else "off" if fast is False else "auto"}


def get(node: Any, path: str) -> Any:
    """The value of a dotted key, or ``MISSING``."""
    for part in path.split("."):
        if not isinstance(node, dict) or part not in node:
            return MISSING
        node = node[part]
    return node


def put(node: dict, path: str, value: Any) -> None:
    """Set a dotted key; one of ``fast`` opens its preset."""
    head, _, rest = path.partition(".")
    if not rest:
        node[head] = value
        return
    if head == "fast":
        node[head] = ConfigDict(as_parts(node.get(head)))
    put(node.setdefault(head, ConfigDict()), rest, value)


def scales_of(cfg: Config) -> list[int]:
    """The scales that a config is about: of ``scale = 4`` just that one."""
    scale = cfg["scale"]
    return [int(s) for s in scale] if isinstance(scale, (list, tuple)) else [scale]


def to_plain(value: Any) -> Any:
    """A config (part) as plain dicts, lists and scalars: for JSON and ``weights_only`` files."""
    if isinstance(value, Config):
        value = value._cfg_dict
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


_MEAN_TOLERANCE = 0.01


def same_argument(key: str, a: Any, b: Any) -> bool:
    """Whether an argument of two networks is the same, but for a mean that was trained a little."""
    if key == "rgb_mean" and a and b and len(a) == len(b):
        return all(abs(x - y) <= _MEAN_TOLERANCE for x, y in zip(a, b))
    return a == b
