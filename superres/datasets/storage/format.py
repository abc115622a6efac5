"""The on-disk format of packed pictures, version 1.

An LMDB environment (a folder with ``data.mdb``) whose main database holds:

=================  =============================================================================
8 bytes, big       the raw pixels of one picture: H x W x C samples, RGB order, little-endian.
endian             Keys are numbers, so that names may have any length and alphabet.
``index``          one :data:`RECORD` per picture, sorted by the UTF-8 bytes of the names
``names``          all names, UTF-8, one after the other, in the same order
``header``         JSON: format, version, state, count, crc32 of index + names, txnid, info
=================  =============================================================================

The index and the names are read in place from the memory map: opening a million pictures reads
neither into Python objects, and a name is found by binary search. Older packs have a sub-database
``sources``, and in ``offset`` the places of the pixels in the file, which nothing reads any more.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np

from superres.errors import UserError

FORMAT = "superres-lmdb"
VERSION = 1
HEADER, INDEX, NAMES = b"header", b"index", b"names"

#: One picture: its key, where its name ends in the names, its shape, sample type and checksum.
RECORD = np.dtype(
    [
        ("key", "<u8"),
        ("name_end", "<u8"),
        ("offset", "<u8"),
        ("height", "<u4"),
        ("width", "<u4"),
        ("channels", "u1"),
        ("code", "u1"),
        ("reserved", "<u2"),
        ("crc32", "<u4"),
    ]
)

#: The sample types by their code in a record.
SAMPLE_TYPES = (np.dtype("u1"), np.dtype("<u2"))


def entry_key(number: int) -> bytes:
    """The database key of entry ``number``."""
    return number.to_bytes(8, "big")


def make_header(
    state: str, count: int = 0, crc32: int = 0, txnid: int = 0, info: dict | None = None
) -> bytes:
    """The header's JSON; ``state`` is ``packing`` or ``complete``."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        "state": state,
        "count": count,
        "crc32": crc32,
        "txnid": txnid,
        "info": info or {},
    }
    return json.dumps(header, ensure_ascii=True).encode()


def parse_header(path: object, value: bytes) -> dict[str, Any]:
    """The header of the database at ``path``.

    Raises:
        UserError: damaged, of another format or a newer version.
    """
    try:
        header = json.loads(value)
        good = isinstance(header, dict) and header["format"] == FORMAT
        version = header["version"]
        good = good and all(
            type(header[key]) is int for key in ("version", "count", "crc32", "txnid")
        )
        good = good and isinstance(header["info"], dict) and isinstance(header["state"], str)
    except (ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise UserError(
            f"{path}: its header is damaged. Prepare or pack it again with --overwrite, or restore "
            "a copy."
        )
    if version != VERSION:
        raise UserError(
            f"{path}: packed in version {version} of the format; this superres reads version "
            f"{VERSION}. Update superres, or pack it again."
        )
    return header


def index_checksum(index: Any, names: Any) -> int:
    """CRC-32 of the index's bytes followed by the names' bytes."""
    return zlib.crc32(names, zlib.crc32(index))
