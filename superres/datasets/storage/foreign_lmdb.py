"""The LMDBs of BasicSR and MMEditing, read as they are.

Layout (BasicSR ``scripts/data_preparation/create_lmdb.py``, MMEditing
``tools/data/super-resolution``): the key is the file's name without ``.png``, the value the PNG
file, and ``meta_info.txt`` beside ``data.mdb`` has a line ``0001.png (2040,1356,3) 1`` for each:
name, (height, width, channels), PNG compression level.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from superres.datasets.storage.base import PictureStore
from superres.datasets.storage.environment import Environment, open_environment
from superres.datasets.storage.names import PackedNames, encode_name
from superres.errors import UserError, some
from superres.imaging.io import Channels, read_image

META_FILE = "meta_info.txt"
_LINE = re.compile(r"(?P<name>.+?)\s*\((?P<shape>\s*\d+\s*,\s*\d+\s*(?:,\s*\d+\s*)?)\)\s*\d*\s*$")


class ForeignLmdb(PictureStore):
    """A BasicSR or MMEditing database; pictures are decoded at each read.

    Args:
        path: the database folder, with ``data.mdb`` and ``meta_info.txt``.
        channels, dtype: as for :class:`superres.datasets.storage.folder.ImageFolder`.

    Raises:
        UserError: missing or truncated database, missing or malformed ``meta_info.txt`` (names
            the line), keys listed there that the database lacks.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        channels: Channels = "rgb",
        dtype: Literal["uint8", "keep"] = "uint8",
    ) -> None:
        self.path = Path(path)
        self.channels = channels
        self._dtype = dtype
        self._names, self._shapes = _read_meta(self.path / META_FILE)
        self._environment: Environment | None = open_environment(self.path)
        self._pid = os.getpid()
        there = set(self._environment.keys())
        absent = [name for i, name in enumerate(self._names) if self._names.encoded(i) not in there]
        if absent:
            raise UserError(
                f"{self.path}: {META_FILE} lists {some(map(repr, absent), 3)}, and the database "
                "has no such key. Copy it again, or take these lines out."
            )

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_environment": None}

    @property
    def dtype(self) -> np.dtype | None:
        return np.dtype(np.uint8) if self._dtype == "uint8" else None

    def names(self) -> Sequence[str]:
        return self._names

    def shape_at(self, i: int) -> tuple[int, int, int]:
        height, width, stored = self._shapes[self._check_number(i)].tolist()
        return height, width, {"rgb": 3, "grey": 1}.get(self.channels, stored)

    def stored_channels(self, i: int) -> int:
        return int(self._shapes[self._check_number(i)][2])

    def read_at(self, i: int) -> np.ndarray:
        """Picture ``i``, decoded.

        Raises:
            UserError: its PNG is damaged, or its size is not the one listed.
        """
        i = self._check_number(i)
        value = self._open().get(self._names.encoded(i))
        label = f"{self.path}, entry {self._names[i]!r}"
        image = read_image(value, self.channels, self._dtype, label=label)
        if image.shape[:2] != self.shape_at(i)[:2]:
            raise UserError(
                f"{label}: {image.shape[0]}x{image.shape[1]} (height x width), but {META_FILE} "
                f"says {self.shape_at(i)[0]}x{self.shape_at(i)[1]}."
            )
        return image

    def changed(self) -> str:
        return self._open().changed()

    def close(self) -> None:
        self._environment = None

    def _find(self, name: str) -> int:
        return self._names.find(name)

    def _open(self) -> Environment:
        if self._environment is None or self._pid != os.getpid():
            self._environment = None
            self._environment = open_environment(self.path)
            self._pid = os.getpid()
        return self._environment


def _read_meta(file: Path) -> tuple[PackedNames, np.ndarray]:
    """Names and (N, 3) shapes of a ``meta_info.txt``, sorted by name."""
    entries = []
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                found = _LINE.match(line.rstrip("\n"))
                if found is None:
                    raise UserError(
                        f"{file}, line {number}: {line.strip()[:80]!r} is not of the form "
                        "'name.png (height,width,channels) compression'."
                    )
                shape = [int(part) for part in found["shape"].split(",")]
                shape = shape if len(shape) == 3 else [*shape, 1]
                if max(shape) >= 2**31:
                    raise UserError(f"{file}, line {number}: the shape {shape} is impossible.")
                name = os.path.splitext(found["name"])[0]
                entries.append((encode_name(name), shape, number))
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; a BasicSR or MMEditing LMDB needs it.") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}).") from None
    if not entries:
        raise UserError(f"{file}: lists no pictures.")
    entries.sort(key=lambda entry: entry[0])
    for (name, _, first), (other, _, second) in itertools.pairwise(entries):
        if name == other:
            raise UserError(
                f"{file}: lines {first} and {second} have the same name {os.fsdecode(name)!r}."
            )
    names = PackedNames.from_encoded(name for name, _, _ in entries)
    return names, np.array([shape for _, shape, _ in entries], np.int32)
