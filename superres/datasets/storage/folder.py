"""Images by name: the files of a folder, any files, and what is made by functions."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from superres.datasets.storage.base import Depth, ImageStore, by_name
from superres.errors import UserError
from superres.imaging.io import Channels, ImageHeader, image_header, read_image
from superres.imaging.listing import list_images

logger = logging.getLogger("superres")


# An image file, or a function that returns the pixels.
Loader = str | os.PathLike | Callable[[], np.ndarray]


@dataclass(frozen=True)
class Made:
    """A function that makes an image, such as a low-quality one, of image ``number`` of ``store``.

    Attributes:
        make: what is called with the pixels of that image.
        what: how it is made, in words, for :meth:`stamp`.
    """

    store: ImageStore
    number: int
    make: Callable[[np.ndarray], np.ndarray]
    what: str

    def __call__(self) -> np.ndarray:
        return self.make(np.asarray(self.store.read_at(self.number)))

    def stamp(self) -> bytes:
        """As :meth:`.ImageStore.stamp_at`."""
        return f"{self.what} of ".encode() + self.store.stamp_at(self.number)

    def __str__(self) -> str:
        return self.store.label_at(self.number)


class Loaded(ImageStore):
    """Images by name, each a file or a function that returns (H, W, C) uint8 or uint16.

    Args:
        path: what messages call the whole.
        items: name and file or function of each.
        channels: ``rgb``, ``grey`` or ``unchanged``; see :func:`superres.imaging.io.read_image`.
        dtype: ``uint8`` (16-bit files are brought to 8 bits) or ``keep``.

    Raises:
        UserError: two of one name; both are named.
    """

    def __init__(
        self,
        path: Path,
        items: Iterable[tuple[str, Loader]],
        channels: Channels = "rgb",
        dtype: Depth = "uint8",
    ) -> None:
        self.path, self.channels, self._dtype = path, channels, dtype
        self._said: set[str] = set()  # warnings, each given once
        self._shapes: dict[Loader, tuple[int, int, int]] = {}
        self._names, self._entries = by_name(path, items)

    def file_at(self, i: int) -> Path | None:
        loader = self._entries[i]
        return None if callable(loader) else Path(loader)

    def stamp_at(self, i: int) -> bytes:
        made = getattr(self._entries[i], "stamp", bytes)  # of a function nothing is known
        return super().stamp_at(i) if self.file_at(i) else made()

    def shape_at(self, i: int) -> tuple[int, int, int]:
        loader = self._entries[i]
        if callable(loader):
            return loader().shape
        if shape := self._shapes.get(loader):
            return shape
        header = image_header(loader)
        for text in changes(header, self.channels, self._dtype):
            if text not in self._said:  # in the main process: workers ask for no shapes
                self._said.add(text)
                logger.warning("%s: images %s, such as %s", self.path, text, self.name_at(i))
        count = {"rgb": 3, "grey": 1, "unchanged": header.channels}[self.channels]
        shape = self._shapes[loader] = header.height, header.width, count
        return shape

    def read_at(self, i: int) -> np.ndarray:
        loader = self._entries[i]
        return loader() if callable(loader) else read_image(loader, self.channels, self._dtype)


class ImageFolder(Loaded):
    """The image files of a folder; a name is the file's name without its suffix.

    Args:
        path: the folder.
        channels, dtype: see :class:`Loaded`.

    Raises:
        UserError: the folder is missing or has no images, or two files have the same name once
            the suffix is stripped (both are named).
    """

    def __init__(
        self, path: str | os.PathLike, channels: Channels = "rgb", dtype: Depth = "uint8"
    ) -> None:
        files = list_images(Path(path))
        super().__init__(Path(path), ((file.stem, file) for file in files), channels, dtype)
        if not files:
            raise UserError(f"{self.path}: no images in this folder.")


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
