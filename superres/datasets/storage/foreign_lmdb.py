"""The LMDBs of BasicSR and MMEditing, read as they are.

Layout (BasicSR ``scripts/data_preparation/create_lmdb.py``, MMEditing
``tools/data/super-resolution``): the key is the file's name without ``.png``, the value the PNG
file, and ``meta_info.txt`` beside ``data.mdb`` has a line ``0001.png (2040,1356,3) 1`` for each:
name, (height, width, channels), PNG compression level.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from superres.datasets.storage.base import Depth, ImageStore, by_name, encode_name
from superres.datasets.storage.environment import Environment, open_environment
from superres.errors import UserError, some
from superres.files import os_fault
from superres.imaging.io import Channels, read_image

META_FILE = "meta_info.txt"
_LINE = re.compile(
    r"(?P<name>.+?)\s*\(\s*(\d{1,9})\s*,\s*(\d{1,9})\s*(?:,\s*(\d+)\s*)?\)\s*\d*\s*$"
)


class ForeignLmdb(ImageStore):
    """A BasicSR or MMEditing database; images are decoded at each read.

    Args:
        path: the database folder, with ``data.mdb`` and ``meta_info.txt``.
        channels, dtype: as for :class:`superres.datasets.storage.folder.ImageFolder`.

    Raises:
        UserError: missing or truncated database, missing or malformed ``meta_info.txt`` (names
            the line), keys listed there that the database lacks.
    """

    _environment: Environment

    def __init__(
        self, path: str | os.PathLike, channels: Channels = "rgb", dtype: Depth = "uint8"
    ) -> None:
        self.path, self.channels, self._dtype = Path(path), channels, dtype
        self._names, self._entries = by_name(self.path, _read_meta(self.path / META_FILE))
        self._environment = open_environment(self.path)
        there = set(self._environment.keys())
        if absent := [name for name in self._names if encode_name(name) not in there]:
            text = f"{META_FILE} lists {some(map(repr, absent), 3)}, and the database has no such"
            raise UserError(f"{self.path}: {text} key. Copy it again, or take these lines out.")

    def shape_at(self, i: int) -> tuple[int, int, int]:
        height, width, stored = self._entries[i]
        return height, width, {"rgb": 3, "grey": 1}.get(self.channels, stored)

    def read_at(self, i: int) -> np.ndarray:
        value = self._environment.get(encode_name(self._names[i]))
        label = f"{self.path}, entry {self._names[i]!r}"
        return read_image(value, self.channels, self._dtype, label=label)


def _read_meta(file: Path) -> list[tuple[str, tuple[int, int, int]]]:
    """Name and (height, width, channels) of each line."""
    entries = []
    try:
        lines = file.read_text("utf-8", "surrogateescape").split("\n")
    except OSError as error:
        text = "An LMDB that superres did not pack needs it (BasicSR and MMEditing write one)"
        raise UserError(f"{os_fault(file, error, 'file')} {text}. Pack again") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _LINE.match(line)
        if found is None:
            form = "name.png (height,width,channels) compression"
            raise UserError(f"{file}, line {number}: {line.strip()[:80]!r} is not {form!r}.")
        name, *shape = found.groups(default="1")
        entries.append((os.path.splitext(name)[0], tuple(map(int, shape))))
    if not entries:
        raise UserError(f"{file}: lists no images.")
    return entries
