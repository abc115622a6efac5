"""Pack pictures into a raw LMDB, take them out again, join packs.

Decoding runs in worker processes, one process writes. Only a few pictures are in memory at a
time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from superres.datasets.storage import ImageFolder, ImageLmdb, PictureStore, open_store
from superres.datasets.storage.environment import DATA_FILE
from superres.datasets.storage.notes import header_notes
from superres.datasets.storage.places import check_apart
from superres.datasets.storage.pool import in_order
from superres.datasets.storage.sources import (
    ListSource,
    Loader,
    PackSource,
    StoreSource,
    as_pixels,
)
from superres.datasets.storage.writer import PackWriter, pixel_checksum
from superres.datasets.unpack import extract, unpack
from superres.errors import UserError
from superres.files import lock_target, unreadable
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
        reused: all of them, where an earlier run had packed the same.
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
    overwrite: bool = False,
    strict: bool = False,
    info: dict | None = None,
) -> PackReport:
    """Pack pictures into a database that :class:`ImageLmdb` reads.

    A second run on a finished target that is up to date does nothing; after an interruption it
    begins anew. The source is never written.

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
        overwrite: replace a finished database at ``target`` that differs from the source, or
            whose pixels do not match their checksums.
        strict: a picture that cannot be read fails the pack once all have been tried. Otherwise
            it is left out and reported.
        info: JSON-able notes kept in the database (``scale``, ``kind``, ...).

    Raises:
        UserError: no pictures, none readable, clashing names (both are named), another process
            packing to ``target``, an existing ``target`` that differs, a read-only place, a full
            disk, ``strict`` and a bad picture.
    """
    started = time.monotonic()
    target = Path(os.path.abspath(target))
    packing = _as_source(source, target, channels, dtype, recursive)
    report = PackReport(target)
    info = {
        **json.loads(json.dumps(info or {})),
        "options": {"channels": channels, "dtype": dtype},
        "made_from": _made_from(packing),
    }
    if target.exists() and _up_to_date(target, packing, info, overwrite, report):
        report.notes.append("already there and up to date")
        lock = target.with_name(target.name + ".lock")
        if lock.exists():  # left by one that was killed when it had just finished
            with contextlib.suppress(UserError):
                lock_target(target, "packing to").release()
    else:
        with PackWriter(target, overwrite) as writer:
            _pack(writer, packing, num_workers, progress, report)
            if report.failed and (strict or len(report.failed) == len(packing.names)):
                raise UserError(_failure(target, report))
            report.count = writer.finish({**info, "left_out": dict(report.failed)})
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
        store = open_store(folder, channels, dtype, recursive)
        if isinstance(store, ImageFolder):
            _require_readable(store)
        packing = StoreSource([store])
    else:
        packing = ListSource(source, channels, dtype)
    if not len(packing.names):
        raise UserError(f"{target}: nothing to pack, the source has no pictures.")
    return packing


def _require_readable(store: ImageFolder) -> None:
    faults = [fault for i in range(len(store)) if (fault := unreadable(store.file_at(i)))]
    if faults:
        more = f" (and {len(faults) - 1} more like it)" if faults[1:] else ""
        raise UserError(f"{faults[0]}{more} Mend or remove it; it is not left out silently.")


def _up_to_date(
    target: Path, packing: PackSource, info: dict, overwrite: bool, report: PackReport
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
    same = store.info == {**info, "left_out": left_out}
    if same and not (overwrite and _damaged(store)):
        report.failed = list(left_out.items())
        report.count = report.reused = len(store)
        return True
    if overwrite:
        return False
    raise UserError(
        f"{target}: already there with {len(store)} pictures, and not what this pack would make "
        f"({len(packing.names)} pictures). Choose another target, or ask to overwrite it."
    )


def _made_from(packing: PackSource) -> str:
    """A digest of what a pack is made from: changes when any picture does."""
    digest = hashlib.sha256()
    for i in range(len(packing.names)):
        digest.update(packing.names.encoded(i) + b"\0" + packing.stamp(i) + b"\n")
    return digest.hexdigest()


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


def _pack(
    writer: PackWriter,
    packing: PackSource,
    num_workers: int | None,
    progress: Progress | None,
    report: PackReport,
) -> None:
    work, count = partial(_load, packing), len(packing.names)
    for i, loaded, fault in in_order(work, count, num_workers, packing.decodes):
        name = packing.names[i]
        if fault:
            report.failed.append((name, fault))
        else:
            writer.add(packing.names.encoded(i), *loaded)
            report.added += 1
        if progress is not None:
            progress(i + 1, count, name)


def _load(packing: PackSource, i: int) -> tuple[np.ndarray, int]:
    pixels = as_pixels(packing.load(i))
    return pixels, pixel_checksum(pixels)


def _failure(target: Path, report: PackReport) -> str:
    shown = "\n".join(f"  {name}: {fault}" for name, fault in report.failed[:20])
    more = len(report.failed) - 20
    if more > 0:
        shown += f"\n  ... and {more} more"
    return (
        f"{target}: not made, {len(report.failed)} of {len(report.failed) + report.added} pictures "
        f"cannot be packed:\n{shown}\n"
        "Put these right or remove them, and run the same command again."
    )
