"""What every place that holds images can do."""

from __future__ import annotations

import copy
import itertools
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from superres.errors import UserError, some

Depth = Literal["uint8", "keep"]
"""What becomes of 16-bit images: ``uint8`` brings them to 8 bits, ``keep`` leaves them."""


class ImageStore(ABC):
    """Images by name, or by number in the order of their names (sorted by UTF-8 bytes).

    Stores are safe to hand to data-loader workers, forked or spawned.

    Attributes:
        path: the folder or database.
        is_part: whether images that are there were left out by :meth:`chosen`.
    """

    path: Path
    is_part = False
    _names: Sequence[str]
    _entries: Sequence[Any]  # what the store itself has to know of each image
    _environment: Any = None  # an open database (superres.datasets.storage.environment)
    _dtype: Depth = "keep"

    def names(self) -> Sequence[str]:
        """All names, sorted."""
        return self._names

    @abstractmethod
    def shape_at(self, i: int) -> tuple[int, int, int]:
        """(height, width, channels) of image ``i`` without reading its pixels."""

    def dtype_at(self, i: int) -> np.dtype:
        """The sample type of image ``i``, or the largest that it may have."""
        return np.dtype("u1" if self._dtype == "uint8" else "<u2")

    def file_at(self, i: int) -> Path | None:
        """The image file of image ``i``; None where it does not have one of its own."""
        return None

    def label_at(self, i: int) -> str:
        """What messages call image ``i``: its file, or its database and name."""
        return str(self.file_at(i) or f"{self.path}: {self._names[i]}")

    def stamp_at(self, i: int) -> bytes:
        """Bytes that change when image ``i`` does; while equal, it need not be packed again."""
        file = self.file_at(i)
        status = os.stat(file or self.path)
        stamp = b"%d bytes, %d ns" % (status.st_size, status.st_mtime_ns)
        return stamp if file else stamp + b" %d" % i

    @abstractmethod
    def read_at(self, i: int) -> np.ndarray:
        """Image ``i``: (H, W, C), RGB order, uint8 or uint16; may be a read-only view.

        Raises:
            UserError: it cannot be read, or is not what was stored; names the image.
        """

    def changed(self) -> str:
        """What a message says of files that are not those that were opened; empty: they are."""
        return self._environment.changed() if self._environment else ""

    def __len__(self) -> int:
        return len(self._names)

    def name_at(self, i: int) -> str:
        """The name of image ``i``; IndexError beyond the end."""
        return self._names[i]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self._names)}

    def index(self, name: str) -> int:
        """The number of an image.

        Raises:
            UserError: the store has no such image.
        """
        if name not in self._numbers:
            raise UserError(f"{self.path} has no image named {name!r} ({len(self)} images).")
        return self._numbers[name]

    def shape(self, name: str) -> tuple[int, int, int]:
        """(height, width, channels) of an image; UserError as :meth:`index`."""
        return self.shape_at(self.index(name))

    def read(self, name: str) -> np.ndarray:
        """An image by name, as :meth:`read_at`; UserError as :meth:`index`."""
        return self.read_at(self.index(name))

    def chosen(self, only: str) -> Self:
        """The same store with the images that ``only`` names.

        Args:
            only: a file with a name in each line, as MMEditing's ``ann_file`` and BasicSR's
                ``meta_info_file``; or a range such as ``'801-810'``: of the numbers that the
                images are called by, of their places (from 1) where they are called otherwise.

        Raises:
            UserError: no such file, names that are not in the store, none that is.
        """
        names = list(self._names)
        if bounds := re.fullmatch(r"(\d+)-(\d+)", only):
            numbered = all(name.isdecimal() for name in names)
            called = map(int, names) if numbered else range(1, len(names) + 1)
            numbers = [i for i, n in enumerate(called) if int(bounds[1]) <= n <= int(bounds[2])]
        else:
            try:
                lines = Path(only).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"{only}, the list of images of {self.path}: {error}") from error
            # "0001_s001.png (480,480,3)": MMEditing and BasicSR write a shape behind a name.
            wanted = [re.sub(r"\s*\(.*$", "", line).strip() for line in lines if line.strip()]
            wanted = [str(Path(name).with_suffix("")) for name in wanted]
            if missing := [name for name in wanted if name not in self._numbers]:
                text = f"{only}: {len(missing)} of its {len(wanted)} images are not in {self.path}"
                raise UserError(f"{text}: {some(missing)}")
            numbers = sorted({self.index(name) for name in wanted})
        if not numbers:
            raise UserError(f"{self.path}: only = {only!r} leaves none of its {len(names)} images")
        part = copy.copy(self)
        part.__dict__.pop("_numbers", None)  # cached, and of the whole store
        part._names = [names[i] for i in numbers]
        part._entries = [self._entries[i] for i in numbers]
        part.is_part = True
        return part


def encode_name(name: str) -> bytes:
    """UTF-8; file names that are not (``surrogateescape``) keep their bytes.

    Names are ordered by these bytes everywhere, which is the order of their code points.
    """
    return name.encode("utf-8", "surrogateescape")


def by_name(where: Path, entries: Iterable[tuple[str, Any]]) -> tuple[list[str], list[Any]]:
    """The names, sorted, and what each stands for.

    Raises:
        UserError: two of one name; what they stand for is named.
    """
    ordered = sorted(entries, key=lambda entry: encode_name(entry[0]))
    clashes = [
        f"{first} and {second} have the same name {name!r}"
        for (name, first), (other, second) in itertools.pairwise(ordered)
        if name == other
    ]
    if clashes:
        raise UserError(f"{where}: {some(clashes, 10)}. Rename or remove one of each two.")
    return [name for name, _ in ordered], [entry for _, entry in ordered]
