"""Pack pictures into a raw LMDB, take them out again, join packs.

Decoding runs in worker processes, one process writes. Only a few pictures are in memory at a
time. An interrupted pack (``kill -9`` too) is continued by running it again; see
:mod:`superres.datasets.storage.writer`.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from superres.datasets.storage import ImageLmdb, PictureStore, open_store
from superres.datasets.storage.environment import DATA_FILE, open_environment
from superres.datasets.storage.names import encode_name
from superres.datasets.storage.notes import header_notes
from superres.datasets.storage.places import check_apart
from superres.datasets.storage.pool import load_in_order
from superres.datasets.storage.sources import (
    FolderSource,
    ListSource,
    Loader,
    PackSource,
    StoreSource,
)
from superres.datasets.storage.writer import SOURCES, PackWriter, parse_source
from superres.datasets.unpack import extract, unpack
from superres.errors import UserError
from superres.files import lock_target
from superres.imaging.io import Channels

__all__ = ["PackReport", "extract", "merge", "pack_images", "unpack"]

#: ``progress(done, total, name)`` is called after every picture, from the calling process.
Progress = Callable[[int, int, str], None]


@dataclass
class PackReport:
    """What a pack did.

    Attributes:
        target: the finished database.
        count: pictures in it.
        added: pictures packed by this run.
        reused: pictures that an earlier run had packed.
        failed: (name, fault) of the pictures that were left out.
        bytes: size of the database file.
        seconds: wall-clock time.
        notes: anything else worth telling a person.
    """

    target: Path
    count: int = 0
    added: int = 0
    reused: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def pack_images(
    source: str | os.PathLike | PictureStore | Iterable[tuple[str, Loader]],
    target: str | os.PathLike,
    *,
    channels: Channels = "rgb",
    dtype: Literal["uint8", "keep"] = "uint8",
    recursive: bool = False,
    num_workers: int | None = None,
    progress: Progress | None = None,
    resume: bool = True,
    overwrite: bool = False,
    strict: bool = False,
    info: dict | None = None,
) -> PackReport:
    """Pack pictures into a database that :class:`ImageLmdb` reads.

    A second run on a finished target that is up to date does nothing; after an interruption it
    goes on where the first one stopped. The source is never written.

    Args:
        source: a folder of pictures; another store (BasicSR's, MMEditing's); or pairs of a name
            and a path or a picklable callable that returns (H, W, C) uint8 or uint16.
        target: the folder of the database to be, by custom ``NAME.lmdb``.
        channels, dtype: how files are decoded; see :func:`superres.imaging.io.read_image`.
        recursive: for a folder: subfolders too.
        num_workers: decoding processes (started with ``spawn``, so a script that calls this
            needs the usual ``if __name__ == "__main__"``); 0 decodes in this process; None
            begins here and starts one per CPU where enough work remains.
        progress: see :data:`Progress`.
        resume: False throws an unfinished pack away instead of continuing it.
        overwrite: replace a finished database at ``target`` that differs from the source, or
            whose pixels do not match their checksums.
        strict: a picture that cannot be read fails the pack once all have been tried; the good
            ones are kept for the next run. Otherwise it is left out and reported.
        info: JSON-able notes kept in the database (``scale``, ``kind``, ...).

    Raises:
        UserError: no pictures, none readable, clashing names (both are named), another process
            packing to ``target``, an existing ``target`` that differs, a read-only place, a full
            disk (what was packed is kept), ``strict`` and a bad picture.
    """
    started = time.monotonic()
    target = Path(os.path.abspath(target))
    packing = _as_source(source, target, channels, dtype, recursive)
    report = PackReport(target)
    options = {"channels": channels, "dtype": dtype}
    info = json.loads(json.dumps(info or {}))
    if target.exists() and _up_to_date(target, packing, options, info, overwrite, report):
        report.notes.append("already there and up to date")
        lock = target.with_name(target.name + ".lock")
        if lock.exists():  # left by one that was killed when it had just finished
            with contextlib.suppress(UserError):
                lock_target(target, "packing to").release()
    else:
        with PackWriter(target, options, resume, overwrite) as writer:
            todo = _plan(writer, packing)
            report.reused = len(packing.names) - len(todo)
            _pack(writer, packing, todo, num_workers, progress, report)
            if report.failed and (strict or len(report.failed) == len(packing.names)):
                raise UserError(_failure(target, report))
            info = _full_info(info, options, packing, report.failed)
            report.count = writer.finish(info)
            report.notes += writer.notes + _header_notes(packing, channels, dtype)
    report.bytes = (target / DATA_FILE).stat().st_size
    report.seconds = time.monotonic() - started
    return report


def merge(
    stores: Sequence[PictureStore | str | os.PathLike],
    target: str | os.PathLike,
    **options,
) -> PackReport:
    """Join stores into one database. Options as :func:`pack_images`.

    Raises:
        UserError: two stores have a picture of the same name (both are named); as pack_images.
    """
    opened = [store if isinstance(store, PictureStore) else open_store(store) for store in stores]
    for store in opened:
        check_apart(target, store.path)
    return pack_images(StoreSource(opened), target, **options)


def _as_source(
    source: object, target: Path, channels: Channels, dtype: str, recursive: bool
) -> PackSource:
    if isinstance(source, PackSource):
        packing = source
    elif isinstance(source, PictureStore):
        check_apart(target, source.path)
        packing = StoreSource([source])
    elif isinstance(source, str | os.PathLike):
        folder = Path(os.path.abspath(source))
        check_apart(target, folder)
        if (folder / DATA_FILE).exists():
            packing = StoreSource([open_store(folder, channels, dtype)])
        else:
            packing = FolderSource(folder, channels, dtype, recursive)
    else:
        packing = ListSource(source, channels, dtype)
    if not len(packing.names):
        raise UserError(f"{target}: nothing to pack, the source has no pictures.")
    return packing


def _up_to_date(
    target: Path,
    packing: PackSource,
    options: dict,
    info: dict,
    overwrite: bool,
    report: PackReport,
) -> bool:
    """Whether the finished database at ``target`` is what this pack would make.

    Raises:
        UserError: it is not, and may not be overwritten; or it is no database of ours.
    """
    if not (target / DATA_FILE).exists():
        raise UserError(f"{target}: exists and is not a packed database. Choose another target.")
    try:
        store = ImageLmdb(target)
    except UserError:
        if overwrite:
            return False
        raise
    left_out = store.info.get("left_out", {})
    if {**store.info, "left_out": {}} == {**info, "options": options, "left_out": {}}:
        made = {name: stamp for _, stamp, name in map(parse_source, _sources_of(target))}
        stamps = {packing.names.encoded(i): packing.stamp(i) for i in range(len(packing.names))}
        report.failed = [
            (name, fault)
            for name, (stamp, fault) in left_out.items()
            if stamps.get(encode_name(name)) == stamp.encode()
        ]
        for name, _ in report.failed:
            del stamps[encode_name(name)]
        if made == stamps and not (overwrite and _damaged(store)):
            report.count = report.reused = len(made)
            return True
    if overwrite:
        return False
    raise UserError(
        f"{target}: already there with {len(store)} pictures, and not what this pack would make "
        f"({len(packing.names)} pictures). Choose another target, or ask to overwrite it."
    )


def _header_notes(packing: PackSource, channels: Channels, dtype: str) -> list[str]:
    headers = {}
    for i in range(len(packing.names)):
        with contextlib.suppress(UserError):  # packing it will say so
            if header := packing.header(i):
                headers[packing.names[i]] = header
    return header_notes(headers, channels, dtype)


def _damaged(store: ImageLmdb) -> bool:
    """Whether any picture's pixels are not those that were packed."""
    try:
        return not all(store.verify_entry(i) for i in range(len(store)))
    except UserError:
        return True


def _sources_of(target: Path) -> Iterator[memoryview]:
    return open_environment(target).values(SOURCES)


def _full_info(
    info: dict, options: dict, packing: PackSource, failed: list[tuple[str, str]]
) -> dict:
    """The notes kept in the database: the caller's, the options, and what was left out and why."""
    left_out = {
        name: (packing.stamp(packing.names.index(name)).decode(), fault) for name, fault in failed
    }
    return {**info, "options": options, "left_out": left_out}


def _plan(writer: PackWriter, packing: PackSource) -> list[int]:
    """The pictures still to be packed; what is no longer in the source is removed."""
    done = writer.done()
    todo = []
    for i in range(len(packing.names)):
        name = packing.names.encoded(i)
        if name in done and done[name][1] == packing.stamp(i):
            del done[name]
        else:
            todo.append(i)
    writer.remove([number for number, _ in done.values()])
    return todo


def _pack(
    writer: PackWriter,
    packing: PackSource,
    todo: list[int],
    num_workers: int | None,
    progress: Progress | None,
    report: PackReport,
) -> None:
    total = len(packing.names)
    try:
        for i, pixels, crc32, fault in load_in_order(packing, todo, num_workers):
            name = packing.names[i]
            if fault:
                report.failed.append((name, fault))
            else:
                writer.add(packing.names.encoded(i), packing.stamp(i), pixels, crc32)
                report.added += 1
            if progress is not None:
                progress(report.reused + report.added + len(report.failed), total, name)
    except KeyboardInterrupt:
        writer.flush()
        raise
    writer.flush()


def _failure(target: Path, report: PackReport) -> str:
    shown = "\n".join(f"  {name}: {fault}" for name, fault in report.failed[:20])
    more = len(report.failed) - 20
    if more > 0:
        shown += f"\n  ... and {more} more"
    return (
        f"{target}: not finished, {len(report.failed)} of "
        f"{len(report.failed) + report.added + report.reused} pictures cannot be packed:\n{shown}\n"
        "The others are kept. Put these right or remove them, and run the same command again."
    )
