"""Pack images into an LMDB of decoded pixels, and take them out again as files.

Threads decode, one writes. Only a few images are in memory at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from superres.datasets.storage import ImageLmdb, ImageStore, open_store
from superres.datasets.storage.base import Depth, encode_name
from superres.datasets.storage.environment import DATA_FILE
from superres.datasets.storage.folder import Loaded, Loader, changes
from superres.datasets.storage.lmdb import PackWriter
from superres.errors import UserError, some
from superres.files import lock_target, os_fault, unreadable
from superres.imaging.io import Channels, image_header, write_image

Progress = Callable[[int, int, str], object]
"""``progress(done, total, name)`` is called after every image, from the calling thread."""


def in_order(
    work: Callable[[int], Any], count: int, num_workers: int | None = None
) -> Iterator[tuple[int, Any, str]]:
    """Work on numbered images in threads, and yield (i, ``work(i)``, fault) for i in 0..count-1.

    The result is None and ``fault`` the message where the work raised UserError. Few results are
    in memory at a time. Decoding, resizing and checksums leave the interpreter to other threads.

    Args:
        num_workers: threads; 0 is one, None one per CPU that this process may use.
    """

    def do(i: int) -> tuple[int, Any, str]:
        try:
            return i, work(i), ""
        except UserError as error:
            return i, None, str(error)

    affinity = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    threads = len(affinity(0)) if num_workers is None else max(1, num_workers)
    pool, waiting = ThreadPoolExecutor(threads), deque()
    try:
        for i in range(count):
            waiting.append(pool.submit(do, i))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass
class PackReport:
    """What a pack did.

    Attributes:
        target: the finished database.
        count: images in it.
        added: images packed by this run.
        reused: ``count``, where an earlier run had packed the same.
        failed: (name, fault) of the images that were left out.
        bytes: size of the database file.
        seconds: wall-clock time of this run.
        notes: what else the user should know.
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
    source: str | os.PathLike | ImageStore | Iterable[tuple[str, Loader]],
    target: str | os.PathLike,
    *,
    channels: Channels = "rgb",
    dtype: Depth = "uint8",
    num_workers: int | None = None,
    progress: Progress = lambda done, total, name: None,
    overwrite: bool = False,
    strict: bool = False,
    info: dict[str, Any] | None = None,
) -> PackReport:
    """Pack images into a database that :class:`ImageLmdb` reads.

    A second run on a finished target that is up to date does nothing; after an interruption it
    begins again. The source is never written.

    Args:
        source: a folder of images; another store (BasicSR's, MMEditing's); or pairs of a name and
            a file, or a function that returns (H, W, C) uint8 or uint16.
        target: the folder of the database to be, by custom ``NAME.lmdb``.
        channels, dtype: how files are decoded; see :func:`superres.imaging.io.read_image`.
        num_workers: decoding threads; None takes one per CPU.
        progress: see :data:`Progress`.
        overwrite: pack again what is at ``target`` already.
        strict: an image that cannot be read fails the pack once all have been tried. Otherwise
            it is left out and reported.
        info: JSON-able notes kept in the database (``scale``, ``kind``, ...).

    Raises:
        UserError: no images, none readable, clashing names (both are named), another process
            packing to ``target``, an existing ``target`` that differs, a read-only place, a full
            disk, ``strict`` and a bad image.
    """
    started, target = time.monotonic(), Path(os.path.abspath(target))
    store = _store_of(source, target, channels, dtype)
    report = PackReport(target)
    info = json.loads(json.dumps(info or {}))
    info |= {"options": {"channels": channels, "dtype": dtype}, "made_from": _made_from(store)}
    if not _up_to_date(info, overwrite, report):  # without a lock, which a read-only disk refuses
        make_folder(target.parent)
        lock = lock_target(target, "packing to", report.notes.append)
        with contextlib.closing(lock), PackWriter(target) as writer:
            for i, packed, fault in in_order(partial(_load, store), len(store), num_workers):
                name = store.name_at(i)
                if fault:
                    report.failed.append((name, fault))
                else:
                    writer.add(name, *packed)
                    report.added += 1
                progress(i + 1, len(store), name)
            if report.failed and (strict or not report.added):
                faults = some([f"\n  {name}: {fault}" for name, fault in report.failed], 20)
                text = f"{target}: not made, {len(report.failed)} of {len(store)} images cannot be"
                raise UserError(f"{text} packed:{faults}\nPut these right and run it again.")
            report.count = writer.finish({**info, "left_out": dict(report.failed)})
        report.notes += _notes(store, channels, dtype)
    report.bytes = (target / DATA_FILE).stat().st_size
    report.seconds = time.monotonic() - started
    return report


def _store_of(source: Any, target: Path, channels: Channels, dtype: Depth) -> ImageStore:
    """The source of :func:`pack_images` as a store, once its files can be read; else UserError."""
    if isinstance(source, str | os.PathLike):
        source = open_store(os.path.abspath(source), channels, dtype)
    if isinstance(source, ImageStore):
        check_apart(target, source.path)
    else:
        source = Loaded(target, source, channels, dtype)
    for file in filter(None, map(source.file_at, range(len(source)))):
        check_readable(file)
    if not len(source):
        raise UserError(f"{target}: nothing to pack, the source has no images.")
    return source


def _up_to_date(info: dict[str, Any], overwrite: bool, report: PackReport) -> bool:
    """Whether the finished database is what this pack would make; then ``report`` says so.

    ``info`` is what the pack would keep in it, with a digest of the source.

    Raises:
        UserError: it is not, and may not be overwritten; or it is not a database of ours.
    """
    target = report.target
    if not target.exists():
        return False
    if not (target / DATA_FILE).exists():
        raise UserError(f"{target}: exists and is not a packed database. Choose another target.")
    if overwrite:
        return False
    packed = ImageLmdb(target)
    left_out = packed.info.get("left_out", {})
    if packed.info != {**info, "left_out": left_out}:
        text = (
            f"{target}: already there with {len(packed)} images, and not what this pack would make"
        )
        raise UserError(f"{text}. Choose another target, or ask to overwrite it.")
    report.failed, report.count = list(left_out.items()), len(packed)
    report.reused = report.count
    report.notes.append("already there and up to date")
    return True


def _made_from(store: ImageStore) -> str:
    """A digest of what a pack is made from: changes when any image does."""
    digest = hashlib.sha256()
    for i, name in enumerate(store.names()):
        digest.update(encode_name(name) + b"\0" + store.stamp_at(i) + b"\n")
    return digest.hexdigest()


def _notes(store: ImageStore, channels: Channels, dtype: Depth) -> list[str]:
    """How many files are changed by decoding them, in which way, and their names."""
    found: dict[str, list[str]] = {}
    for i, name in enumerate(store.names()):
        with contextlib.suppress(UserError):  # it was left out, which is said
            if file := store.file_at(i):
                for text in changes(image_header(file), channels, dtype):
                    found.setdefault(text, []).append(name)
    count = len(store)
    return [f"{len(names)} of {count} {text}: {some(names, 3)}" for text, names in found.items()]


def _load(store: ImageStore, i: int) -> tuple[np.ndarray, int]:
    """Image ``i`` as it is packed, (H, W, C) little-endian, and its CRC-32."""
    image = np.atleast_3d(store.read_at(i))
    pixels = np.ascontiguousarray(image, image.dtype.newbyteorder("<"))
    return pixels, zlib.crc32(pixels)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; a :class:`UserError` where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(os_fault(path, error, "folder", writing=True)) from None


def check_apart(target: str | os.PathLike, source: str | os.PathLike) -> None:
    """Refuse a target that is, or lies inside, its source; symbolic links are followed.

    Raises:
        UserError: names both.
    """
    target, source = Path(os.path.abspath(target)), Path(source)
    # What is written beside the target (its lock, the unfinished database) lies in its parent, so
    # a target that is itself a link counts at both places.
    places = target.resolve(), target.parent.resolve() / target.name
    if any(place.is_relative_to(source.resolve()) for place in places):
        text = f"{target}: inside the source {source}, which is never written"
        raise UserError(f"{text}. Choose a target elsewhere, for example beside it.")


def check_readable(file: Path) -> None:
    """Refuse a link that leads nowhere, a pipe or a device among images."""
    if fault := unreadable(file):
        raise UserError(f"{fault} Mend or remove it; it is not left out silently.")


def check_set_name(name: str) -> None:
    """Refuse a set's name that would lead out of the folder that the set belongs into.

    Raises:
        UserError: ``.``, ``..``, an empty name, or one with a separator.
    """
    if name in ("", ".", "..") or any(c in name for c in "/\\\0"):
        text = f"--name {name!r}: the name of one folder is needed, without '/', '\\' and '..'"
        raise UserError(f"{text}; --out says where it goes")


def unpack(
    store: ImageStore,
    folder: Path,
    names: Sequence[str] | None = None,
    *,
    suffix: str = ".png",
    overwrite: bool = False,
    progress: Progress = lambda done, total, name: None,
) -> tuple[int, list[tuple[str, str]]]:
    """Write images of a store into a folder; names with ``/`` go to subfolders.

    Files are written atomically and existing ones are kept, so an interrupted run is continued
    by running it again.

    Args:
        names: which; None writes all.
        suffix: chooses the format; ``.png`` is lossless for all that a store holds.
        overwrite: write existing files again.
        progress: called as ``progress(done, total, name)``.

    Returns:
        How many files were written, and (name, fault) of the images that cannot be read or whose
        name would lead out of the folder.

    Raises:
        UserError: no such image, a full disk, a read-only folder, a format that cannot hold one.
    """
    check_apart(folder, store.path)
    names = store.names() if names is None else names
    numbers = list(map(store.index, names))

    def write(i: int) -> tuple[bool, str]:
        """Whether a file was written, and why one is left out."""
        path = folder / f"{names[i]}{suffix}"
        good = names[i].strip("./") and "\0" not in names[i]
        if not good or not path.parent.resolve().is_relative_to(folder.resolve()):
            return False, f"its name leads out of the folder {folder}; nothing was written for it"
        if path.exists() and not overwrite:
            return False, ""
        try:
            image = store.read_at(numbers[i])
        except UserError as error:
            return False, str(error)
        make_folder(path.parent)
        write_image(path, image)
        return True, ""

    written, failed = 0, []
    for i, done, fault in in_order(write, len(names)):
        if fault:  # of the disk or the format; what cannot be read is in ``done``
            raise UserError(fault)
        written += done[0]
        failed += [(names[i], done[1])] if done[1] else []
        progress(i + 1, len(names), names[i])
    return written, failed
