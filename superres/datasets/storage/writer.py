"""Writing a packed database so that it is either complete or plainly unfinished.

Pictures are committed in batches to ``<target>.partial``; the finished database gets its index,
is flushed to disk and only then renamed to ``<target>``. A process killed at any point leaves at
most the last batch undone. The sub-database ``sources`` keeps, for every entry, its record, its
name and the stamp of what it was made from, so that a later run continues or finds nothing to do.
"""

from __future__ import annotations

import os
import shutil
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from superres.datasets.storage import format as layout
from superres.datasets.storage.environment import DATA_FILE, Environment
from superres.datasets.storage.pages import large_values
from superres.errors import UserError
from superres.files import lock_target, sync

PARTIAL_SUFFIX = ".partial"
SOURCES = b"sources"

_BATCH_BYTES = 32 << 20
_BATCH_SECONDS = 5.0
_FIRST_MAP_SIZE = 64 << 20


class PackWriter:
    """Writes one database; only one at a time per target (a lock file), from one thread.

    Args:
        target: the folder of the database to be; its parents are made.
        options: what the pixels depend on (channels, sample type). An unfinished pack made with
            other options is begun anew.
        resume: continue an unfinished pack; False begins anew.
        replace: a database that is at ``target`` already makes way for the finished one.

    Raises:
        UserError: another process packs to this target, or has just finished; a read-only place.
    """

    def __init__(
        self, target: Path, options: dict, resume: bool = True, replace: bool = False
    ) -> None:
        self.target = target
        self._replace = replace
        self.partial = target.with_name(target.name + PARTIAL_SUFFIX)
        self.notes: list[str] = []
        self._batch: list[tuple[np.void, bytes, bytes, np.ndarray]] = []
        self._batch_bytes = 0
        self._last_commit = time.monotonic()
        self._env = self._sources = None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{target}: cannot be written ({error.strerror}).") from None
        self._lock = lock_target(target, "packing to", self.notes.append)
        try:
            if target.exists() and not replace:
                raise UserError(f"{target}: another process has just finished it. Run again.")
            self._open(options, resume)
        except BaseException:
            self.close()
            raise

    def _open(self, options: dict, resume: bool) -> None:
        import lmdb

        if self.partial.exists():
            reason = "" if resume else "asked for"
            reason = reason or self._why_not_continue(options)
            if reason:
                self.notes.append(f"began anew: {reason}")
                _discard(self.partial)
        try:
            self.partial.mkdir(exist_ok=True)
            self._env = lmdb.open(
                str(self.partial), map_size=_FIRST_MAP_SIZE, lock=False, metasync=False, max_dbs=1
            )
            self._sources = self._env.open_db(SOURCES)
            header = layout.make_header("packing", info={"options": options})
            self._write(lambda txn: txn.put(layout.HEADER, header))
        except lmdb.Error as error:
            raise self._fault(error) from None
        except OSError as error:
            raise UserError(f"{self.target}: cannot be written ({error.strerror}).") from None
        with self._env.begin(db=self._sources) as txn, txn.cursor() as cursor:
            self._next = int.from_bytes(cursor.key(), "big") + 1 if cursor.last() else 0

    def _why_not_continue(self, options: dict) -> str:
        """Why the unfinished pack cannot be continued; empty if it can."""
        try:
            environment = Environment(self.partial)
        except (UserError, OSError):
            return "the unfinished pack was damaged"
        header = environment.get(layout.HEADER)
        if header is None or environment.get(SOURCES) is None:
            return "the unfinished pack was empty"
        try:
            parsed = layout.parse_header(self.partial, bytes(header))
        except UserError:
            return "the unfinished pack was of another version"
        if parsed["info"].get("options") != options:
            return "the unfinished pack was made with other options"
        return ""

    def done(self) -> dict[bytes, tuple[int, bytes]]:
        """What is there already: encoded name -> (entry number, stamp)."""
        return {name: (int(record["key"]), stamp) for record, stamp, name in self._entries()}

    def _entries(self) -> Iterator[tuple[np.void, bytes, bytes]]:
        """(record, stamp, encoded name) of everything committed."""
        with self._env.begin(db=self._sources) as txn, txn.cursor() as cursor:
            for value in cursor.iternext(keys=False, values=True):
                yield parse_source(value)

    def add(self, name: bytes, stamp: bytes, pixels: np.ndarray, crc32: int) -> None:
        """Add one picture: (H, W, C), C-contiguous, uint8 or little-endian uint16.

        Raises:
            UserError: the disk is full, or cannot be written.
        """
        record = np.zeros((), layout.RECORD)[()]
        code = layout.SAMPLE_TYPES.index(pixels.dtype)
        record["key"], record["crc32"], record["code"] = self._next, crc32, code
        record["height"], record["width"], record["channels"] = pixels.shape
        self._next += 1
        self._batch.append((record, stamp, name, pixels))
        self._batch_bytes += pixels.nbytes
        waited = time.monotonic() - self._last_commit
        if self._batch_bytes >= _BATCH_BYTES or waited >= _BATCH_SECONDS:
            self.flush()

    def remove(self, numbers: list[int]) -> None:
        """Remove entries whose source is gone or has changed."""

        def delete(txn) -> None:
            for number in numbers:
                txn.delete(layout.entry_key(number))
                txn.delete(layout.entry_key(number), db=self._sources)

        if numbers:
            self._write(delete)

    def flush(self) -> None:
        """Commit what has been added; from here on it survives a kill."""
        batch, self._batch, self._batch_bytes = self._batch, [], 0

        def put(txn) -> None:
            for record, stamp, name, pixels in batch:
                key = layout.entry_key(int(record["key"]))
                txn.put(key, pixels.reshape(-1).view(np.uint8).data)
                txn.put(key, pack_source(record, stamp, name), db=self._sources)

        if batch:
            self._write(put)
        self._last_commit = time.monotonic()

    def finish(self, info: dict) -> int:
        """Write the index, flush everything to disk and move the database to its target.

        Returns:
            The number of pictures.
        """
        self.flush()
        entries = sorted(
            ((name, record) for record, _, name in self._entries()), key=lambda entry: entry[0]
        )
        index = np.array([record for _, record in entries], layout.RECORD)
        index["name_end"] = np.cumsum([len(name) for name, _ in entries], dtype=np.uint64)
        names = b"".join(name for name, _ in entries)
        offsets = large_values(self.partial / DATA_FILE)
        for i, number in enumerate(index["key"].tolist()):
            index["offset"][i] = offsets.get(layout.entry_key(number), (0, 0))[0]
        checksum = layout.index_checksum(index, names)

        def put(txn) -> None:
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
        """Release the database and the lock; what was committed stays for the next run."""
        self._close_env()
        self._lock.release()

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _close_env(self) -> None:
        env, self._env = self._env, None
        if env is not None:
            env.close()

    def _write(self, change) -> None:
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
        kept = 0
        if self._sources is not None and self._env is not None:
            with self._env.begin(db=self._sources) as txn:
                kept = txn.stat(self._sources)["entries"]
        # A write that the disk cuts short comes back from LMDB as an input/output error.
        free = shutil.disk_usage(self.target.parent).free
        full = f", the disk is full: {free >> 20} MiB are free" if free < 2 * _BATCH_BYTES else ""
        return UserError(
            f"{self.partial}: cannot be written ({error}{full}). {kept} pictures are kept there; "
            "make room or put the fault right and run the same command again, it continues."
        )


def pack_source(record: np.void, stamp: bytes, name: bytes) -> bytes:
    """A value of the sub-database ``sources``."""
    return record.tobytes() + struct.pack("<I", len(stamp)) + stamp + name


def parse_source(value: bytes | memoryview) -> tuple[np.void, bytes, bytes]:
    """(record, stamp, encoded name) from a value of the sub-database ``sources``."""
    size = layout.RECORD.itemsize
    (length,) = struct.unpack_from("<I", value, size)
    at = size + 4
    record = np.frombuffer(value, layout.RECORD, 1)[0]
    return record, bytes(value[at : at + length]), bytes(value[at + length :])


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
