"""What a translated config says, as a leaf over configs/_base_, and how its parts are named."""

from __future__ import annotations

import copy
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from superres.checkpoints.networks import full_config
from superres.errors import UserError
from superres.paths import share_dir

Tree = dict[str, Any]
FLIPS = [
    {"type": "RandomFlip", "direction": "horizontal"},
    {"type": "RandomFlip", "direction": "vertical"},
    {"type": "RandomTranspose"},
]
"""The augmentation of all these toolboxes, where nothing of it is switched off."""
_KNOWN_SETS = ("Set5", "Set14", "BSD100", "B100", "Urban100", "Manga109", "DIV2K")
_WIDTH = 95


@dataclass
class Recipe:
    """A config of another toolbox in superres's keys.

    Attributes:
        toolbox: what messages call it.
        config: the values that the file states, complete for the network and the optimiser.
        notes: what has no counterpart, or has another form.
        paths: by path, the key of the file that it stands at.
    """

    toolbox: str
    config: Tree = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)

    def leaf(self, folder: Path | None = None) -> str:
        """A config over files of configs/_base_, with what differs from them.

        Args:
            folder: where it will lie; None states the base files by absolute paths.
        """
        shared = share_dir("configs") / "_base_"
        wanted = copy.deepcopy(self.config)
        bases = []
        for kind, keys in (("models", ["model"]), ("schedules", ["optim_wrapper", "max_iters"])):
            part = {key: wanted[key] for key in keys if key in wanted}
            bases.append(_nearest(sorted((shared / kind).glob("*.py")), part, wanted))
        bases.insert(1, shared / "datasets/div2k.py")
        bases.append(shared / "default_runtime.py")
        merged: Tree = {}
        for base in bases:
            merged |= _read(base)
        said = changes(wanted, merged)
        places = [os.path.relpath(b, folder) if folder else str(b) for b in bases]
        lines = [f"# Translated from a config of {self.toolbox}."]
        lines += [f"# Note: {note}" for note in self.notes]
        lines += [f"{key} = {_text(value)}" for key, value in {"_base_": places, **said}.items()]
        return "\n".join(lines) + "\n"

    @contextmanager
    def file(self) -> Iterator[Path]:
        """The leaf as a file, to be read at once."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "config.py"
            file.write_text(self.leaf(), encoding="utf-8")
            yield file


class Reader:
    """A config's tree whose keys are each taken once; what is left has no counterpart."""

    def __init__(self, tree: Mapping[str, Any], where: str) -> None:
        self.tree: Tree = copy.deepcopy(dict(tree))
        self.where = where
        self.paths: dict[str, str] = {}

    def take(self, path: str, default: Any = None) -> Any:
        """The value of a dotted key, which is removed; ``default`` where it is not there."""
        node: Any = self.tree
        *outer, last = path.split(".")
        for key in outer:
            node = node.get(key) if isinstance(node, dict) else None
        return node.pop(last, default) if isinstance(node, dict) else default

    def path(self, key: str, value: str | None) -> str | None:
        """A path in the file; the message names its key if nothing is there."""
        if value:
            self.paths.setdefault(value, key)
        return value

    def left(self, *paths: str) -> list[str]:
        """The dotted keys below these that nobody has taken and that say something."""
        found: list[str] = []

        def walk(node: Any, path: str) -> None:
            if isinstance(node, dict):
                for key, value in node.items():
                    walk(value, f"{path}.{key}")
            elif node not in (None, False, [], ""):
                found.append(path)

        for path in paths:
            walk(self.take(path), path)
        return found

    def refuse(self, key: str, value: Any, why: str = "has no counterpart here") -> UserError:
        """What to raise for a value that would train otherwise."""
        return UserError(f"{self.where}: {key} = {value!r} {why}")


def renamed(reader: Reader, key: str, node: Tree, names: Mapping[str, str | None]) -> Tree:
    """``node`` with its keys in our spelling; None drops one that changes nothing.

    Raises:
        UserError: a key that is not among ``names``.
    """
    unknown = [name for name in node if name not in names]
    if unknown:
        raise reader.refuse(f"{key}.{unknown[0]}", node[unknown[0]])
    return {names[name]: value for name, value in node.items() if names[name] is not None}


def patch_of(reader: Reader, key: str, size: int, scale: int) -> int:
    """``lq_patch_size`` of a patch of the ground truth.

    Raises:
        UserError: the scale does not divide it.
    """
    if size % scale:
        raise reader.refuse(key, size, f"is not a multiple of scale = {scale}")
    return size // scale


def loss_of(reader: Reader, key: str, node: Tree | None) -> Tree:
    """A pixel loss of MMEditing, MMagic or BasicSR.

    Raises:
        UserError: another one, or another mean than over all samples.
    """
    node = dict(node or {})
    name = node.pop("type", None)
    if name not in ("L1Loss", "MSELoss", "CharbonnierLoss") or node.get("reduction") == "sum":
        raise reader.refuse(key, {"type": name, **node})
    weight = node.pop("loss_weight", 1.0)
    found = {"type": name, **({} if weight == 1 else {"loss_weight": weight})}
    if name == "CharbonnierLoss":  # theirs is sqrt(d^2 + eps), ours sqrt(d^2 + eps^2)
        found["eps"] = node.pop("eps", 1e-12) ** 0.5
    renamed(reader, key, node, {"reduction": None, "sample_wise": None})
    return found


def set_of(gt: str, lq: str | None, only: str | None = None, name: str = "") -> Tree:
    """A set by its two folders; its name is that of a known set in its path, else its folder's."""
    known = [s for s in _KNOWN_SETS if re.search(rf"(?i)(?<![a-z0-9]){s}(?![a-z0-9])", gt)]
    found = {"gt": gt, "lq": lq, "only": only, "name": (known or [name or Path(gt).name])[0]}
    return {key: value for key, value in found.items() if value is not None}


def protocol_of(scale: Any, border: int, luma: bool, rounded: bool = True) -> str | Tree:
    """MMEditing's and BasicSR's way to score, by the border that is cut and the channels.

    Args:
        scale: of the config.
        border: pixels cut from each side.
        luma: on luma instead of all channels.
        rounded: whether results are brought to 8 bits first; MMagic only clamps them.
    """
    base = "edsr-y" if luma else "mmediting-rgb"
    name = base if rounded else "mmagic-y" if luma else "mmagic"
    own: Tree = {} if rounded else {"sr_rounding": "clamp"}
    if border != scale:
        own |= {"border_per_scale": 0, "border_extra": border}
        name += f"-border{border}"
    return {"base": base, "name": name, **own} if own else base


def _nearest(files: list[Path], part: Tree, whole: Tree) -> Path:
    """The base file that leaves the least to be said, and says nothing that is not wanted."""

    def size(file: Path) -> int:
        base = _read(file)
        foreign = set(base) - set(whole) - {"auto_scale_lr", "global_batch_size"}
        kind = base.get("model", {}).get("backbone", {}).get("type")
        network = part.get("model", {}).get("backbone", {}).get("type")
        if foreign or kind != network:
            return 10_000
        given = {key: value for key, value in whole.items() if key in part or key in base}
        return len(_text(changes(given, base)))

    return min(files, key=lambda file: (size(file), len(file.stem)))


def _read(file: Path) -> Tree:
    return Config.fromfile(str(file), use_predefined_variables=False)._cfg_dict.to_dict()


def changes(wanted: Tree, base: Tree) -> Tree:
    """What a config over ``base`` must say to be ``wanted``."""
    found: Tree = {}
    for key, value in wanted.items():
        here = base.get(key)
        if isinstance(value, dict) and isinstance(here, dict):
            more = {k for k in here if "type" in value and k not in (*value, "eps")}
            if value.get("type", here.get("type")) != here.get("type"):
                more = {"type"}
            elif key == "backbone":
                here, value, more = full_config(here), full_config(value), set()
            inner = {"_delete_": True, **value} if more else changes(value, here)
            if inner:
                found[key] = inner
        elif key not in base or _plain(value) != _plain(here):
            found[key] = value
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def _text(value: Any, indent: int = 0) -> str:
    """A value as a config's author writes it."""
    if not isinstance(value, dict | list | tuple):
        return repr(value)
    mapping = isinstance(value, dict)
    opening, closing = ("dict(", ")") if mapping else ("[", "]")
    inner = indent + 4
    items = [f"{k}={_text(v, inner)}" for k, v in value.items()] if mapping else None
    items = [_text(v, inner) for v in value] if items is None else items
    line = opening + ", ".join(items) + closing
    if len(line) + indent <= _WIDTH and "\n" not in line:
        return line
    lines: list[str] = []
    for item in items:  # as many on a line as fit
        if lines and "\n" not in item + lines[-1] and len(lines[-1]) + len(item) + inner < _WIDTH:
            lines[-1] += f", {item}"
        else:
            lines.append(item)
    joint = ",\n" + " " * inner
    return f"{opening}\n{' ' * inner}{joint.join(lines)}{closing}"
