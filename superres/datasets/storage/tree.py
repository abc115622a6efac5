"""Whether the tree pages of an LMDB file stay inside it.

LMDB trusts its file: a damaged or hostile page number, node or length makes it read beyond the
map, or stop the process (SIGBUS, SIGSEGV, an assertion). So all tree pages are looked at before
the file is handed to it; the pictures' own pages are not touched. Layout: see ``pages``.
"""

from __future__ import annotations

import mmap
import struct
import sys
from pathlib import Path

import numpy as np

_HEADER = 16
_MAGIC = 0xBEEFC0DE
_BRANCH, _LEAF = 0x01, 0x02
_BIG, _TREE = 0x01, 0x02  # flags of a node: its value lies in pages of its own; is a database
_NO_PAGE = 2**64 - 1
_KINDS = 0x7FFF  # flags of a database that change how keys and values lie


def tree_fault(path: Path) -> str:
    """What is wrong with the newest trees of a data file; empty where nothing is.

    The file must be as long as its own header says.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if sys.byteorder != "little" or len(data) < 2 * _HEADER + 256:
            return ""
        words = np.frombuffer(data, "<u2", len(data) // 2)
        try:
            return _fault(data, words)
        except (struct.error, IndexError, ValueError):
            return "a page leads out of the file"
        finally:
            del words  # the map cannot be closed before


def _fault(data: mmap.mmap, words: np.ndarray) -> str:
    (size,) = struct.unpack_from("<I", data, _HEADER + 24)
    if size & (size - 1) or not 512 <= size <= 65536:
        return f"pages of {size} bytes"
    newest = -1
    for start in (0, size):
        magic, version = struct.unpack_from("<II", data, start + _HEADER)
        if (magic, version) != (_MAGIC, 1):
            return "no header of a known version"
        last, transaction = struct.unpack_from("<QQ", data, start + _HEADER + 24 + 96)
        if transaction > newest:
            newest, database, pages = transaction, start + _HEADER + 24 + 48, last + 1
    if pages * size > len(data):
        return "cut off"
    seen: set[int] = set()
    pending = [database]
    while pending:
        at = pending.pop()
        (flags,) = struct.unpack_from("<H", data, at + 4)
        (root,) = struct.unpack_from("<Q", data, at + 40)
        if flags & _KINDS:
            return "keys or values of an unknown kind"
        fault, found = _tree_fault(words, root, size, pages, seen)
        if fault:
            return fault
        pending += found
    return ""


def _tree_fault(
    words: np.ndarray, root: int, size: int, pages: int, seen: set[int]
) -> tuple[str, list[int]]:
    """What is wrong with one tree, and where in the file the databases inside it are told of."""
    databases: list[int] = []
    pending = [] if root == _NO_PAGE else [root]
    while pending:
        page = pending.pop()
        if not 2 <= page < pages or page in seen:
            return f"page {page} is no page of its tree", []
        seen.add(page)
        start = page * size
        flags, lower = words[start // 2 + 5 : start // 2 + 7].tolist()
        count = (lower - _HEADER) // 2
        kind = flags & 0x6F  # what LMDB marks pages by, but for 'dirty'
        least = 2 if kind == _BRANCH else 1
        if kind not in (_BRANCH, _LEAF) or lower > size or lower % 2 or count < least:
            return f"page {page} is damaged", []
        nodes = words[start // 2 + 8 : start // 2 + 8 + count].astype(np.int64)
        if (nodes % 2).any() or nodes.min() < lower or nodes.max() + 8 > size:
            return f"page {page} is damaged", []
        place = (start + nodes) // 2
        low, high, marks, key = (words[place + i].astype(np.int64) for i in range(4))
        length = low | high << 16
        ends = nodes + 8 + key
        if kind == _BRANCH:
            if (ends > size).any():
                return f"page {page} is damaged", []
            pending += (length | marks << 32).tolist()
            continue
        big = (marks & _BIG) != 0
        if (marks & ~(_BIG | _TREE)).any() or (ends + np.where(big, 8, length) > size).any():
            return f"page {page} is damaged", []
        for end, held in zip((start + ends[big]).tolist(), length[big].tolist()):
            first = int.from_bytes(words.data.cast("B")[end : end + 8], "little")
            if first < 2 or first + -(-(_HEADER + held) // size) > pages:
                return f"a value of page {page} leads out of the file", []
        inner = (marks & _TREE) != 0
        if (inner & (big | (length != 48))).any():
            return f"page {page} is damaged", []
        databases += (start + ends[inner]).tolist()
    return "", databases
