"""Writing a packed database so that it is either complete or plainly unfinished.

Pictures are committed in batches to ``<target>.partial``; the finished database gets its index,
is flushed to disk and only then renamed to ``<target>``. What a process that was killed has left
is begun anew.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from superres.datasets.storage import format as layout
from superres.datasets.storage.environment import DATA_FILE
from superres.errors import UserError
from superres.files import lock_target, sync

PARTIAL_SUFFIX = ".partial"

_BATCH_BYTES = 32 << 20
_FIRST_MAP_SIZE = 64 << 20


class PackWriter:
    """Writes one database; only one at a time per target (a lock file), from one thread.

    A context manager: what is not finished at its end is removed.

    Args:
        target: the folder of the database to be; its parents are made.
        replace: a database that is at ``target`` already makes way for the finished one.

    Raises:
        UserError: another process packs to this target, or has just finished; a read-only place.
    """

    def __init__(self, target: Path, replace: bool = False) -> None:
        import lmdb

        self.target, self._replace = target, replace
        self.partial = target.with_name(target.name + PARTIAL_SUFFIX)
        self.notes: list[str] = []
        self._entries: list[tuple[bytes, np.void]] = []
        self._batch: list[tuple[bytes, Any]] = []
        self._batch_bytes = 0
        self._env: Any = None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{target}: cannot be written ({error.strerror}).") from None
        self._lock = lock_target(target, "packing to", self.notes.append)
        try:
            if target.exists() and not replace:
                raise UserError(f"{target}: another process has just finished it. Run again.")
            _discard(self.partial)
            self.partial.mkdir(exist_ok=True)
            self._env = lmdb.open(
                str(self.partial), map_size=_FIRST_MAP_SIZE, lock=False, metasync=False
            )
            self._write(lambda txn: txn.put(layout.HEADER, layout.make_header("packing")))
        except OSError as error:
            self.close()
            raise UserError(f"{target}: cannot be written ({error.strerror}).") from None
        except lmdb.Error as error:
            self.close()
            raise self._fault(error) from None
        except BaseException:
            self.close()
            raise

    def add(self, name: bytes, pixels: np.ndarray, crc32: int) -> None:
        """Add one picture: (H, W, C), C-contiguous, uint8 or little-endian uint16.

        Raises:
            UserError: the disk is full, or cannot be written.
        """
        record = np.zeros((), layout.RECORD)[()]
        code = layout.SAMPLE_TYPES.index(pixels.dtype)
        record["key"], record["crc32"], record["code"] = len(self._entries), crc32, code
        record["height"], record["width"], record["channels"] = pixels.shape
        key = layout.entry_key(len(self._entries))
        self._entries.append((name, record))
        self._batch.append((key, pixels.reshape(-1).view(np.uint8).data))
        self._batch_bytes += pixels.nbytes
        if self._batch_bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._write(lambda txn: [txn.put(key, pixels) for key, pixels in batch])

    def finish(self, info: dict) -> int:
        """Write the index, flush everything to disk and move the database to its target.

        Returns:
            The number of pictures.
        """
        self._flush()
        entries = sorted(self._entries, key=lambda entry: entry[0])
        index = np.array([record for _, record in entries], layout.RECORD)
        index["name_end"] = np.cumsum([len(name) for name, _ in entries], dtype=np.uint64)
        names = b"".join(name for name, _ in entries)
        checksum = layout.index_checksum(index, names)

        def put(txn: Any) -> None:
            header = layout.make_header("complete", len(index), checksum, txn.id(), info)
            txn.put(layout.INDEX, index.view(np.uint8).data)
            txn.put(layout.NAMES, names)
            txn.put(layout.HEADER, header)

        self._write(put)
        try:
            self._env.sync(True)
            size = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
            self._close_env()
            data = self.partial / DATA_FILE
            if data.stat().st_size < size:
                # LMDB leaves pages unwritten that were freed again in one transaction. At the
                # end of the file that would look like a truncation to every reader.
                os.truncate(data, size)
            self._move()
        except OSError as error:
            raise self._fault(error) from None
        return len(index)

    def _move(self) -> None:
        sync(self.partial / DATA_FILE)
        sync(self.partial)
        old = self.target.with_name(f"{self.target.name}.replaced-{os.getpid()}")
        replacing = self._replace and self.target.exists()
        if replacing:
            os.rename(self.target, old)
        os.rename(self.partial, self.target)
        sync(self.target.parent)
        if replacing and not _discard(old):
            self.notes.append(f"kept {old}: it holds files that belong to no database")

    def close(self) -> None:
        """Remove what is not finished, and let go of the lock."""
        self._close_env()
        _discard(self.partial)
        self._lock.release()

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _close_env(self) -> None:
        env, self._env = self._env, None
        if env is not None:
            env.close()

    def _write(self, change: Callable[[Any], object]) -> None:
        """Run ``change(txn)`` in a committed transaction, enlarging the map until it fits."""
        import lmdb

        while True:
            try:
                with self._env.begin(write=True) as txn:
                    change(txn)
                return
            except lmdb.MapFullError:
                # The map size is address space, not file size: the file grows as it is written.
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            except lmdb.Error as error:
                raise self._fault(error) from None

    def _fault(self, error: Exception) -> UserError:
        # A write that the disk cuts short comes back from LMDB as an input/output error.
        free = shutil.disk_usage(self.target.parent).free
        full = f", the disk is full: {free >> 20} MiB are free" if free < 2 * _BATCH_BYTES else ""
        return UserError(
            f"{self.partial}: cannot be written ({error}{full}). Make room or put the fault right "
            "and run the same command again."
        )


def pixel_checksum(pixels: np.ndarray) -> int:
    """The CRC-32 stored with a picture's pixels (C-contiguous)."""
    return zlib.crc32(pixels)


def _discard(folder: Path) -> bool:
    """Delete a database, and its folder unless that holds anything else."""
    for name in (DATA_FILE, "lock.mdb", "meta_info.txt"):
        (folder / name).unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
