"""Where LMDB keeps large values in its file.

py-lmdb touches every page of a value when it looks it up (its ``preload``, so that page faults
happen without the interpreter's lock). For a crop of an 8 MB picture that is 2,000 pages instead
of 200, and from a cold disk the whole picture. So the packer notes where in the file each picture
lies, and readers map the file themselves.

Large values are stored in runs of overflow pages, which LMDB never moves while the value lives;
small ones lie in tree pages, which it copies at every write, and are not listed here. The layout
is that of LMDB 0.9 (``mdb.c``: MDB_page, MDB_node, MDB_meta), data version 1, little-endian.
"""

from __future__ import annotations

import mmap
import struct
import sys
from pathlib import Path

_PAGE_HEADER = 16
_MAGIC, _DATA_VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _BIG_DATA = 0x01, 0x02, 0x01
_NO_PAGE = 2**64 - 1


def large_values(path: Path) -> dict[bytes, tuple[int, int]]:
    """key -> (offset in the file, length) of the large values of the main database.

    The file must not be written meanwhile. Empty where the layout is not the known one.
    """
    found: dict[bytes, tuple[int, int]] = {}
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        size, root = _page_size_and_root(data)
        pending = [] if root == _NO_PAGE else [root]
        while pending:
            start = pending.pop() * size
            flags, lower = struct.unpack_from("<HH", data, start + 10)
            count = (lower - _PAGE_HEADER) // 2
            for pointer in struct.unpack_from(f"<{count}H", data, start + _PAGE_HEADER):
                node = start + pointer
                low, high, node_flags, key_size = struct.unpack_from("<HHHH", data, node)
                if flags & _BRANCH:
                    pending.append(low | high << 16 | node_flags << 32)
                elif flags & _LEAF and node_flags & _BIG_DATA:
                    end = node + 8 + key_size
                    (page,) = struct.unpack_from("<Q", data, end)
                    found[data[node + 8 : end]] = (page * size + _PAGE_HEADER, low | high << 16)
    return found


def _page_size_and_root(data: mmap.mmap) -> tuple[int, int]:
    """The page size and the main database's root page, from the newer of the two meta pages."""
    newest, root = -1, _NO_PAGE
    (size,) = struct.unpack_from("<I", data, _PAGE_HEADER + 24)
    for start in (0, size):
        magic, version = struct.unpack_from("<II", data, start + _PAGE_HEADER)
        if magic != _MAGIC or version != _DATA_VERSION or sys.byteorder != "little":
            return size, _NO_PAGE
        (main_root,) = struct.unpack_from("<Q", data, start + _PAGE_HEADER + 24 + 48 + 40)
        (transaction,) = struct.unpack_from("<Q", data, start + _PAGE_HEADER + 24 + 96 + 8)
        if transaction > newest:
            newest, root = transaction, main_root
    return size, root
