"""A folder of image files."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from superres.datasets.storage.base import Depth, ImageStore, by_name
from superres.errors import UserError
from superres.imaging.io import Channels, ImageHeader, image_header, read_image
from superres.imaging.listing import list_images

logger = logging.getLogger("superres")


class ImageFolder(ImageStore):
    """The image files of a folder; a name is the file's name without its suffix.

    Args:
        path: the folder.
        channels: ``rgb``, ``grey`` or ``unchanged``; see :func:`superres.imaging.io.read_image`.
        dtype: ``uint8`` (16-bit files are brought to 8 bits) or ``keep``.

    Raises:
        UserError: the folder is missing or has no images, or two files have the same name once
            the suffix is stripped (both are named).
    """

    def __init__(
        self, path: str | os.PathLike, channels: Channels = "rgb", dtype: Depth = "uint8"
    ) -> None:
        self.path, self.channels, self._dtype = Path(path), channels, dtype
        self._said: set[str] = set()
        self._shapes: dict[str, tuple[int, int, int]] = {}
        named = ((file.stem, file.name) for file in list_images(self.path))
        self._names, self._entries = by_name(self.path, named)
        if not self._names:
            raise UserError(f"{self.path}: no images in this folder.")

    def file_at(self, i: int) -> Path:
        return self.path / self._entries[i]

    def shape_at(self, i: int) -> tuple[int, int, int]:
        if shape := self._shapes.get(self._entries[i]):
            return shape
        header = image_header(self.file_at(i))
        for text in changes(header, self.channels, self._dtype):
            if text not in self._said:  # in the main process: workers ask for no shapes
                self._said.add(text)
                logger.warning("%s: images %s, such as %s", self.path, text, self.name_at(i))
        count = {"rgb": 3, "grey": 1, "unchanged": header.channels}[self.channels]
        shape = self._shapes[self._entries[i]] = header.height, header.width, count
        return shape

    def read_at(self, i: int) -> np.ndarray:
        return read_image(self.file_at(i), self.channels, self._dtype)


def changes(header: ImageHeader, channels: Channels = "rgb", dtype: Depth = "uint8") -> list[str]:
    """In which ways an image is not decoded as it is stored; words that follow "images".

    Args:
        channels, dtype: how it is decoded; see :func:`superres.imaging.io.read_image`.
    """
    depth = "stored with 8 unless --depth keep" if dtype == "uint8" else "kept"
    found = {
        f"with {header.bits} bits per sample, {depth}": header.bits > 8,
        "with an EXIF rotation, stored as the pixels lie": header.orientation > 1,
        "with a colour profile (ICC), stored without converting": header.has_icc,
        "grey, stored as RGB": channels == "rgb" and header.channels == 1,
        "with transparency, stored without it": channels != "unchanged" and header.has_alpha,
    }
    return [text for text, true in found.items() if true] + [
        f"not stored whole ({note})" for note in header.notes
    ]
