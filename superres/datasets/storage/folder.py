"""A folder of picture files."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from superres.datasets.storage.base import PictureStore
from superres.datasets.storage.names import PackedNames, encode_name
from superres.datasets.storage.notes import changes
from superres.errors import UserError
from superres.imaging.io import Channels, image_header, image_shape, read_image
from superres.imaging.listing import list_images

logger = logging.getLogger("superres")


class ImageFolder(PictureStore):
    """The picture files of a folder; a name is the file's name without its suffix.

    Args:
        path: the folder.
        channels: ``rgb``, ``grey`` or ``unchanged``; see :func:`superres.imaging.io.read_image`.
        dtype: ``uint8`` (16-bit files are brought to 8 bits) or ``keep``.
        recursive: subfolders too; names then have their path below the folder, with ``/``.

    Raises:
        UserError: the folder is missing or has no pictures, or two files have the same name once
            the suffix is stripped (both are named).
    """

    def __init__(
        self,
        path: str | os.PathLike,
        channels: Channels = "rgb",
        dtype: Literal["uint8", "keep"] = "uint8",
        recursive: bool = False,
    ) -> None:
        self.path = Path(path)
        self.channels = channels
        self._dtype = dtype
        names, files = named_files(self.path, recursive)
        if not len(names):
            raise UserError(f"{self.path}: no pictures in this folder.")
        self._names = names
        self._said: set[str] = set()
        self._files = files

    @property
    def dtype(self) -> np.dtype | None:
        return np.dtype(np.uint8) if self._dtype == "uint8" else None

    def names(self) -> Sequence[str]:
        return self._names

    def file_at(self, i: int) -> Path:
        """The file of picture ``i``."""
        return self.path / self._files[i]

    def shape_at(self, i: int) -> tuple[int, int, int]:
        header = image_header(self.file_at(i))
        for text in changes(header, self.channels, self._dtype):
            if text not in self._said:  # in the main process: workers ask for no shapes
                self._said.add(text)
                logger.warning("%s: images %s, such as %s", self.path, text, self.name_at(i))
        count = {"rgb": 3, "grey": 1, "unchanged": header.channels}[self.channels]
        return header.height, header.width, count

    def stored_channels(self, i: int) -> int:
        return image_shape(self.file_at(i))[2]

    def read_at(self, i: int) -> np.ndarray:
        return read_image(self.file_at(i), self.channels, self._dtype)

    def _find(self, name: str) -> int:
        return self._names.find(name)


def named_files(folder: Path, recursive: bool) -> tuple[PackedNames, PackedNames]:
    """Names (sorted, distinct) and file paths below ``folder``, in the same order.

    Raises:
        UserError: the folder cannot be listed; two files share a name (both are named).
    """
    pairs = []
    for file in list_images(folder, recursive):
        below = file.relative_to(folder)
        pairs.append((encode_name(below.with_suffix("").as_posix()), os.fsencode(below)))
    pairs.sort()
    for (name, first), (other, second) in itertools.pairwise(pairs):
        if name == other:
            raise UserError(
                f"{folder}: {os.fsdecode(first)} and {os.fsdecode(second)} have the same name "
                "without their suffix. Rename or remove one of them."
            )
    return (
        PackedNames.from_encoded(name for name, _ in pairs),
        PackedNames.from_encoded(file for _, file in pairs),
    )
