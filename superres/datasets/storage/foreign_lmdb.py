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

from superres.datasets.storage.base import Depth, PictureStore, by_name, encode_name
from superres.datasets.storage.environment import Environment, open_environment
from superres.errors import UserError, some
from superres.files import os_fault
from superres.imaging.io import Channels, read_image

META_FILE = "meta_info.txt"
_LINE = re.compile(
    r"(?P<name>.+?)\s*\(\s*(\d{1,9})\s*,\s*(\d{1,9})\s*(?:,\s*(\d+)\s*)?\)\s*\d*\s*$"
)


class ForeignLmdb(PictureStore):
    """A BasicSR or MMEditing database; pictures are decoded at each read.

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
        entries = by_name(self.path, _read_meta(self.path / META_FILE))
        self._names, self._entries = zip(*((name, line.shape) for name, line in entries))
        self._environment = open_environment(self.path)
        there = set(self._environment.keys())
        absent = [name for name in self._names if encode_name(name) not in there]
        if absent:
            raise UserError(
                f"{self.path}: {META_FILE} lists {some(map(repr, absent), 3)}, and the database "
                "has no such key. Copy it again, or take these lines out."
            )

    def shape_at(self, i: int) -> tuple[int, int, int]:
        height, width, stored = self._entries[i]
        return height, width, {"rgb": 3, "grey": 1}.get(self.channels, stored)

    def stored_channels(self, i: int) -> int:
        return self._entries[i][2]

    def read_at(self, i: int) -> np.ndarray:
        """Picture ``i``, decoded.

        Raises:
            UserError: its PNG is damaged, or its size is not the one listed.
        """
        label = f"{self.path}, entry {self._names[i]!r}"
        value = self._environment.get(encode_name(self._names[i]))
        image = read_image(value, self.channels, self._dtype, label=label)
        height, width, _ = self._entries[i]
        if image.shape[:2] != (height, width):
            raise UserError(
                f"{label}: {image.shape[0]}x{image.shape[1]} (height x width), but {META_FILE} "
                f"says {height}x{width}."
            )
        return image


class _Line:
    """A line of ``meta_info.txt``; in messages its number."""

    def __init__(self, number: int, shape: tuple[int, int, int]) -> None:
        self.number, self.shape = number, shape

    def __str__(self) -> str:
        return f"line {self.number} of {META_FILE}"


def _read_meta(file: Path) -> list[tuple[str, _Line]]:
    entries = []
    try:
        text = file.read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise UserError(f"{os_fault(file, error, 'file')} An LMDB of this kind needs it.") from None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        found = _LINE.match(line)
        if found is None:
            raise UserError(
                f"{file}, line {number}: {line.strip()[:80]!r} is not of the form "
                "'name.png (height,width,channels) compression'."
            )
        name, height, width, channels = found.groups(default="1")
        shape = int(height), int(width), int(channels)
        entries.append((os.path.splitext(name)[0], _Line(number, shape)))
    if not entries:
        raise UserError(f"{file}: lists no pictures.")
    return entries
