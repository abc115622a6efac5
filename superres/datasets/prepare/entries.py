"""Pictures of a source: files, and members of archives read where they lie."""

from __future__ import annotations

import functools
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from superres.errors import UserError
from superres.files import os_fault
from superres.imaging.io import Channels, ImageHeader, image_header, read_image

_HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class Entry(ABC):
    """One picture of the source; cheap to pickle.

    Attributes:
        path: below the source, ``/`` between the parts. Starts with the source's own name, and
            an archive counts as a folder called like it without its suffix: recipes go by these.
        file: what is on disk: the picture, or the archive that holds it.
    """

    path: str
    file: Path

    @property
    def folders(self) -> tuple[str, ...]:
        """The parts of the path above the picture."""
        return PurePosixPath(self.path).parts[:-1]

    @property
    def stem(self) -> str:
        """The picture's name without its suffix."""
        return PurePosixPath(self.path).stem

    @property
    @abstractmethod
    def label(self) -> str:
        """What messages call it."""

    @abstractmethod
    def stamp(self) -> bytes:
        """Changes when the picture changes."""

    @abstractmethod
    def read(self, limit: int = -1) -> bytes:
        """Its bytes, or the first ``limit`` of them; UserError where they cannot be had."""

    def load(self, channels: Channels = "rgb", dtype: Literal["uint8", "keep"] = "uint8"):
        """(H, W, C), as :func:`superres.imaging.io.read_image`."""
        return read_image(self.read(), channels, dtype, label=self.label)

    def header(self) -> ImageHeader:
        """Size, depth and so on, from its first bytes."""
        try:
            return image_header(self.read(_HEAD_BYTES), self.label)
        except UserError:  # most headers are in the first bytes, not all
            return image_header(self.read(), self.label)


@dataclass(frozen=True)
class FileEntry(Entry):
    """A picture file. ``shown`` is its name in messages where the file is a temporary copy."""

    shown: str = ""

    @property
    def label(self) -> str:
        return self.shown or str(self.file)

    def stamp(self) -> bytes:
        try:
            status = os.stat(self.file)
        except OSError:
            return b"missing"  # loading it will say so
        return b"%d bytes, %d ns" % (status.st_size, status.st_mtime_ns)

    def read(self, limit: int = -1) -> bytes:
        try:
            with open(self.file, "rb") as file:
                return file.read(limit)
        except OSError as error:
            raise UserError(os_fault(self.label, error, "picture")) from None

    def load(
        self, channels: Channels = "rgb", dtype: Literal["uint8", "keep"] = "uint8"
    ) -> np.ndarray:
        if self.shown:
            return super().load(channels, dtype)
        return read_image(self.file, channels, dtype)

    def header(self) -> ImageHeader:
        return super().header() if self.shown else image_header(self.file)


@dataclass(frozen=True)
class ZipEntry(Entry):
    """A member of a zip file; zipfile compares its CRC-32 when it has been read to the end."""

    member: str
    size: int
    crc32: int

    @property
    def label(self) -> str:
        return f"{self.file}, member {self.member}"

    def stamp(self) -> bytes:
        return b"%d bytes, crc32 %08x" % (self.size, self.crc32)

    def read(self, limit: int = -1) -> bytes:
        try:
            with _opened_zip(self.file).open(self.member) as stream:
                return stream.read(limit)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
            raise UserError(
                f"{self.label}: damaged inside the archive ({error}). Fetch the archive again."
            ) from None
        except RuntimeError as error:  # encrypted
            raise UserError(f"{self.label}: cannot be read ({error}).") from None
        except OSError as error:
            raise UserError(os_fault(self.label, error, "archive")) from None


@dataclass(frozen=True)
class TarEntry(Entry):
    """A member of an uncompressed tar file: a stretch of bytes."""

    member: str
    offset: int
    size: int
    modified: int

    @property
    def label(self) -> str:
        return f"{self.file}, member {self.member}"

    def stamp(self) -> bytes:
        return b"%d bytes, %d s, at %d" % (self.size, self.modified, self.offset)

    def read(self, limit: int = -1) -> bytes:
        count = self.size if limit < 0 else min(limit, self.size)
        try:
            with open(self.file, "rb") as file:
                file.seek(self.offset)
                data = file.read(count)
        except OSError as error:
            raise UserError(os_fault(self.label, error, "archive")) from None
        if len(data) < count:
            raise UserError(f"{self.label}: the archive ends inside it. Fetch the archive again.")
        return data


@functools.lru_cache(maxsize=8)
def _opened_zip(file: Path) -> zipfile.ZipFile:
    """One open archive per process: its directory is parsed once, not for each picture."""
    return zipfile.ZipFile(file)
