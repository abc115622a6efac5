"""What every place that holds pictures can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np


class PictureStore(ABC):
    """Pictures by name, or by number in the order of their names (sorted by UTF-8 bytes).

    Stores are cheap to pickle and safe to hand to data-loader workers, forked or spawned: what a
    process must open for itself is opened there, at the first read.

    Attributes:
        path: the folder or database.
    """

    path: Path

    @abstractmethod
    def names(self) -> Sequence[str]:
        """All names, sorted. May be lazy: don't turn a large one into a list."""

    @abstractmethod
    def shape_at(self, i: int) -> tuple[int, int, int]:
        """(height, width, channels) of picture ``i`` without reading its pixels."""

    def stored_channels(self, i: int) -> int:
        """Channels of picture ``i`` as it is stored, before it is read as grey or RGB."""
        return self.shape_at(i)[2]

    @abstractmethod
    def read_at(self, i: int) -> np.ndarray:
        """Picture ``i``: (H, W, C), RGB order, uint8 or uint16; may be a read-only view."""

    def read_verified_at(self, i: int) -> np.ndarray:
        """As :meth:`read_at`, after comparing the pixels with their checksum, if there is one.

        Raises:
            UserError: the pixels are not those that were stored; names the picture.
        """
        return self.read_at(i)

    def read_checked_at(self, i: int) -> np.ndarray:
        """As :meth:`read_verified_at` the first time in each process, then as :meth:`read_at`.

        What training and testing read by: a damaged entry is found before it is used.
        """
        return self.read_at(i)

    @property
    @abstractmethod
    def dtype(self) -> np.dtype | None:
        """The sample type of all pictures, or None where they differ or it is not known."""

    def changed(self) -> str:
        """What a message says of files that are not those that were opened; empty: they are."""
        return ""

    def close(self) -> None:  # noqa: B027 (not every store has something open)
        """Let go of what is open. Pictures already handed out stay valid."""

    def __len__(self) -> int:
        return len(self.names())

    def name_at(self, i: int) -> str:
        """The name of picture ``i``; IndexError beyond the end."""
        return self.names()[i]

    def index(self, name: str) -> int:
        """The number of a picture.

        Raises:
            KeyError: there is no such picture; names the store and the key.
        """
        found = self._find(name)
        if found < 0:
            raise KeyError(f"{self.path} has no picture named {name!r} ({len(self)} pictures)")
        return found

    @abstractmethod
    def _find(self, name: str) -> int:
        """The number of a picture, -1 where there is none of that name."""

    def shape(self, name: str) -> tuple[int, int, int]:
        """(height, width, channels) of a picture; KeyError as :meth:`index`."""
        return self.shape_at(self.index(name))

    def read(self, name: str) -> np.ndarray:
        """A picture by name, as :meth:`read_at`; KeyError as :meth:`index`."""
        return self.read_at(self.index(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) >= 0

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {len(self)} pictures)"

    def _check_number(self, i: int) -> int:
        count = len(self)
        if not -count <= i < count:
            raise IndexError(f"picture {i} of {self.path}, which has {count}")
        return i + count if i < 0 else i
