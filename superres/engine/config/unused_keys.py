"""Top-level keys of a config that nothing reads: mostly slips of the pen."""

from __future__ import annotations

import ast
import functools
import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config

from superres.errors import UserError, did_you_mean
from superres.paths import share_dir

from .ecosystem import REFUSED, refuse
from .processes import will_be_first

logger = logging.getLogger("superres")

SETS = ("train_set", "val_sets", "test_sets")
"""Keys whose values name sets of images."""

READ_KEYS = (
    "scale",
    "model",
    "num_workers",
    "data_root",
    *SETS,
    "lq_patch_size",
    "margin",
    "degradation",
    "train_pipeline",
    "train_dataloader",
    "published",
)
"""Top-level keys of models and data that the program reads or that all configs have."""

_REFERRED = re.compile(r"\$\{([A-Za-z_]\w*)|_base_\.([A-Za-z_]\w*)")


def check_keys(cfg: Config, files: Collection[Path], known: Collection[str]) -> None:
    """Tell of top-level keys that nothing reads.

    A key is read by the program or by the Python code of a config file. A leading underscore
    silences this. A config as a run leaves it in its work dir has lost that code, so it is only
    warned about what looks like a slip.

    Args:
        cfg: as read.
        files: the config's files, those that it inherits from included.
        known: keys that the program reads.

    Raises:
        UserError: a key that resembles a known one. Others are told in a warning.
    """
    resolved = len(files) == 1 and not _REFERRED.search(
        next(iter(files)).read_text(encoding="utf-8")
    )
    unread = {key for key in cfg if key not in known and not key.startswith("_")}
    if not unread:
        return
    unread -= referred(cfg._cfg_dict)
    unread -= {name for file in files for name in used_names(file)}
    refuse(cfg, unread)
    unread -= REFUSED.keys()
    for key in sorted(unread):
        near = did_you_mean(key, known, 0.8)
        text = f"config {cfg.filename}: nothing reads its key {key!r}"
        if near and not resolved:
            raise UserError(f"{text}{near} (A value of your own starts with an underscore.)")
        if (near or not resolved) and will_be_first():
            logger.warning(text)


@functools.cache
def runtime_keys() -> frozenset[str]:
    """What the schedules and the default runtime that come with the package state."""
    base = share_dir("configs") / "_base_"
    trees = [
        ast.parse(path.read_text(encoding="utf-8"))
        for path in (base / "default_runtime.py", *sorted(base.glob("schedules/*.py")))
    ]
    targets = [
        t for tree in trees for n in tree.body if isinstance(n, ast.Assign) for t in n.targets
    ]
    return frozenset(t.id for t in targets if isinstance(t, ast.Name))


def referred(node: Any) -> set[str]:
    """First words of all ``${a.b}`` in a config's strings."""
    return {match[1] for match in _REFERRED.finditer(str(node)) if match[1]}


def used_names(file: Path) -> set[str]:
    """Names that a config file's code reads, its ``{{_base_.name}}`` included."""
    text = file.read_text(encoding="utf-8")
    inherited = {match[2] for match in _REFERRED.finditer(text) if match[2]}
    try:
        tree = ast.parse(text)
    except SyntaxError:  # mmengine's {{...}} is no Python
        return inherited | set(re.findall(r"[A-Za-z_]\w*(?!\w*\s*=)", text))
    names = (n for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
    return inherited | {node.id for node in names}


@contextmanager
def whole_sets() -> Iterator[None]:
    """``train_set = dict(gt=..., lq=...)`` in a file stands instead of its base's set.

    So does any dict in the place of what is none, as in ``ema = dict(...)``. mmengine merges dicts
    key by key, and refuses one in the place of another value.
    """
    merge = Config._merge_a_into_b

    def merge_but_sets(a: dict, b: dict, allow_list_keys: bool = False) -> dict:
        inherited = b if isinstance(b, dict) else {}
        other = [k for k in a if k in SETS or not isinstance(inherited.get(k, {}), dict)]
        whole = {key: a[key] for key in other}
        for value in whole.values():
            if isinstance(value, dict):
                value.pop("_delete_", None)
        rest = {key: value for key, value in a.items() if key not in whole}
        merged = merge(rest, b, allow_list_keys)
        return {**merged, **whole} if whole else merged

    Config._merge_a_into_b = staticmethod(merge_but_sets)
    try:
        yield
    finally:
        Config._merge_a_into_b = staticmethod(merge)
