"""A config's files: read once, by mmengine, each with the rules of superres."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from superres.errors import UserError
from superres.paths import share_dir

from .ecosystem import overrule

SETS = ("train_set", "val_sets", "test_sets")
"""Keys whose values name sets of images."""

_SUFFIXES = (".py", ".yml", ".yaml", ".json")


@dataclass
class Source:
    """What a config was read from.

    Attributes:
        files: the config and all that it inherits from, outermost first.
        defaults: the contents of those in ``configs/_base_``.
    """

    files: list[Path] = field(default_factory=list)
    defaults: list[Mapping[str, Any]] = field(default_factory=list)

    def words(self) -> set[str]:
        """The words of the files' code that are assigned nothing there: names that it reads."""
        texts = (re.sub("#.*", "", file.read_text(encoding="utf-8")) for file in self.files)
        return {word for text in texts for word in re.findall(r"\b[a-z]\w*\b(?!\s*=[^=])", text)}


def read_config(path: Path) -> tuple[Config, Source]:
    """A config's file with what it inherits, as it is written.

    Raises:
        UserError: whatever is wrong with the files, with file and line.
    """
    if path.suffix not in _SUFFIXES:
        raise UserError(f"{path} is not a config file; expected {', '.join(_SUFFIXES)}")
    source, opened = Source(), [path]
    try:
        with _watched(source, opened):
            lazy = path.suffix == ".py" and "read_base()" in path.read_text(encoding="utf-8")
            read = Config.fromfile(str(path), lazy_import=lazy)
        if lazy:  # its classes are yet to be imported
            read, source.files = Config(read.to_dict(), filename=str(path)), [path]
    except Exception as error:  # the config is the user's Python program: anything can come out
        # mmengine's own clearing up may fail at that depth, too.
        recursion = RecursionError in (type(error), type(error.__context__))
        text = f"config {path} inherits from itself: look at its _base_"
        raise UserError(text if recursion else _message(opened[-1], error)) from error
    return read, source


def _message(file: Path, error: Exception) -> str:
    """What went wrong while a file was read, and in which line."""
    if isinstance(error, SyntaxError):
        found = error.__context__ if isinstance(error.__context__, SyntaxError) else error
        text = f": {found.text.strip()}" if found.text else ""
        return f"config {file}, line {found.lineno}: {found.msg}{text}"
    if mark := getattr(error, "problem_mark", None):  # YAML's
        return f"config {file}, line {mark.line + 1}: {error.problem}"
    if isinstance(error, AttributeError) and file.suffix != ".py":
        return f"config {file} must hold lines of KEY: VALUE"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == os.path.abspath(file)]
    where = f"{file}, line {lines[-1]}" if lines else str(file)
    return f"config {where}: {type(error).__name__}: {error}"


@contextmanager
def _watched(source: Source, opened: list[Path]) -> Iterator[None]:
    """Have mmengine tell of each file that it reads, and merge by our rules.

    mmengine merges dicts key by key, and refuses one in the place of another value. With a set
    (``train_set = dict(gt=..., lq=...)``), and where the base has no dict, as in ``ema = None``,
    the later value stands instead of the earlier one. So does a key in OpenMMLab's spelling.

    Args:
        source: is filled in.
        opened: the config; the files that are being read, where reading ends with an error.
    """
    read, merge = Config._file2dict, Config._merge_a_into_b
    shipped = share_dir("configs") / "_base_"

    def read_file(filename: str, *args: Any, **options: Any) -> Any:
        if source.files:
            opened.append(Path(filename))
        source.files.append(Path(filename))
        found = read(filename, *args, **options)
        if shipped in Path(filename).resolve().parents:
            source.defaults.append(found[0])
        if len(opened) > 1:
            opened.pop()
        return found

    def merge_keys(a: dict, b: dict, allow_list_keys: bool = False) -> dict:
        b = b.copy()
        if not merging:
            overrule(a, b)
        for key, value in a.items():
            whole = key in SETS or not isinstance(b.get(key, {}), dict)
            if whole and isinstance(value, dict):
                value.pop("_delete_", None)
                b.pop(key, None)
        merging.append(a)
        try:
            return merge(a, b, allow_list_keys)
        finally:
            merging.pop()

    merging: list[dict] = []  # a file, and the dict in it that is being merged
    Config._file2dict, Config._merge_a_into_b = staticmethod(read_file), staticmethod(merge_keys)
    try:
        yield
    finally:
        Config._file2dict, Config._merge_a_into_b = staticmethod(read), staticmethod(merge)
