"""A million names in two arrays instead of a million Python objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def encode_name(name: str) -> bytes:
    """UTF-8; file names that are not (``surrogateescape``) keep their bytes.

    Names are ordered by these bytes everywhere, which is the order of their code points.
    """
    return name.encode("utf-8", "surrogateescape")


class PackedNames(Sequence[str]):
    """Sorted, distinct names as one blob of UTF-8 and the end of each name in it.

    Both arrays may be views on a memory map; names are decoded one at a time. Being two buffers,
    it costs a forked or spawned worker no Python object per name.

    Args:
        blob: (bytes,) uint8, all names one after the other, in the order of their bytes.
        ends: (N,) unsigned integers, where each name ends in the blob.
    """

    def __init__(self, blob: np.ndarray, ends: np.ndarray) -> None:
        self._blob = blob
        self._ends = ends

    @classmethod
    def from_encoded(cls, encoded: Iterable[bytes]) -> PackedNames:
        """Pack UTF-8 names in the order given; :meth:`find` needs them sorted."""
        parts = list(encoded)
        ends = np.cumsum([len(part) for part in parts], dtype=np.uint64)
        return cls(np.frombuffer(b"".join(parts), np.uint8), ends)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if i < 0:
            i += len(self)
        if not 0 <= i < len(self):
            raise IndexError(f"entry {i} of {len(self)}")
        return self.encoded(i).decode("utf-8", "surrogateescape")

    def encoded(self, i: int) -> bytes:
        """Name ``i`` (0 <= i < N) as UTF-8."""
        start = int(self._ends[i - 1]) if i else 0
        return self._blob[start : int(self._ends[i])].tobytes()

    def find(self, name: str) -> int:
        """The number of a name by binary search; -1 where it is not there."""
        wanted = encode_name(name)
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.encoded(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self.encoded(low) == wanted else -1

    def index(self, name: str, start: int = 0, stop: int | None = None) -> int:
        """The number of a name; ValueError where it is not there (the Sequence protocol)."""
        found = self.find(name)
        if not start <= found < (len(self) if stop is None else stop):
            raise ValueError(f"{name!r} is not in the list")
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) >= 0
