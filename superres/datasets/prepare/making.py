"""Sources that the packer loads from: entries of a plan, and the bicubic of packed pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from superres.datasets.prepare.entries import Entry
from superres.datasets.storage import ImageLmdb, PictureStore
from superres.datasets.storage.folder import ImageFolder
from superres.datasets.storage.names import PackedNames, encode_name
from superres.datasets.storage.sources import PackSource
from superres.errors import UserError
from superres.imaging.io import Channels, write_image
from superres.imaging.resize import imresize, modcrop


class EntrySource(PackSource):
    """The pictures of one side of a plan."""

    def __init__(self, pictures: Mapping[str, Entry], channels: Channels, dtype: str) -> None:
        ordered = sorted((encode_name(name), entry) for name, entry in pictures.items())
        self.names = PackedNames.from_encoded(name for name, _ in ordered)
        self._entries = [entry for _, entry in ordered]
        self._channels, self._dtype = channels, dtype

    def load(self, i: int) -> np.ndarray:
        return self._entries[i].load(self._channels, self._dtype)

    def stamp(self, i: int) -> bytes:
        return self._entries[i].stamp()


class BicubicSource(PackSource):
    """The exact bicubic of a store's pictures, each cropped at the bottom and the right first.

    Args:
        store: ground truths, packed or in a folder.
        scale: whole number.
        border: ``reflect`` or ``replicate``.
    """

    def __init__(self, store: PictureStore, scale: int, border: str) -> None:
        self._store, self._scale, self._border = store, scale, border
        self.names = PackedNames.from_encoded(encode_name(name) for name in store.names())

    def load(self, i: int) -> np.ndarray:
        cropped = modcrop(self._store.read_verified_at(i), self._scale)
        return imresize(cropped, 1 / self._scale, border=self._border)

    def stamp(self, i: int) -> bytes:
        return b"bicubic x%d %s of %s" % (
            self._scale,
            self._border.encode(),
            picture_stamp(self._store, i),
        )


class WritingSource(PackSource):
    """Writes the pictures of another source as files where they are loaded: in the workers.

    What it hands on is a receipt: a single sample, or the bytes of a message where the picture
    could not be written (which is no fault of the picture: see :func:`fault_of`).

    Args:
        source: what to write.
        folder: an existing folder.
        suffix: of the file names, between the picture's name and ``.png``.
    """

    def __init__(self, source: PackSource, folder: Path, suffix: str) -> None:
        self._source, self._folder, self._suffix = source, folder, suffix
        self.names, self.decodes = source.names, True

    def file_name(self, i: int) -> str:
        """Of picture ``i``, below the folder."""
        return f"{self.names[i]}{self._suffix}.png"

    def load(self, i: int) -> np.ndarray:
        image = self._source.load(i)
        path = self._folder / self.file_name(i)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, image)
        except (UserError, OSError) as error:
            return np.frombuffer(str(error).encode(), np.uint8).reshape(1, -1, 1)
        return np.zeros((1, 1, 1), np.uint8)

    def stamp(self, i: int) -> bytes:
        return self._source.stamp(i)


def fault_of(receipt: np.ndarray) -> str:
    """Why a :class:`WritingSource` could not write; empty where it did."""
    return receipt.tobytes().decode() if receipt.size > 1 else ""


def picture_stamp(store: PictureStore, i: int) -> bytes:
    """Changes when picture ``i`` of a store changes."""
    if isinstance(store, ImageLmdb):
        return b"crc32 %08x" % store.checksum_at(i)
    if isinstance(store, ImageFolder):
        status = store.file_at(i).stat()
        return b"%d bytes, %d ns" % (status.st_size, status.st_mtime_ns)
    return b"%s %d" % (str(store.path).encode("utf-8", "surrogateescape"), i)
