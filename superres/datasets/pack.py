"""Pack pictures into a raw LMDB, join packs.

Threads decode, one writes. Only a few pictures are in memory at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from superres.datasets.storage import ImageLmdb, PictureStore, open_store
from superres.datasets.storage.base import Depth, by_name, encode_name
from superres.datasets.storage.environment import DATA_FILE
from superres.datasets.storage.folder import changes
from superres.datasets.storage.lmdb import SAMPLE_TYPES
from superres.datasets.storage.pool import in_order
from superres.datasets.storage.sources import Loader, Picture, loaded, stored
from superres.datasets.storage.writer import PackWriter, check_apart
from superres.errors import UserError, some
from superres.files import lock_target, os_fault, unreadable
from superres.imaging.io import Channels, image_header

#: ``progress(done, total, name)`` is called after every picture, from the calling thread.
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
    source: str | os.PathLike | PictureStore | Iterable[Picture | tuple[str, Loader]],
    target: str | os.PathLike,
    *,
    channels: Channels = "rgb",
    dtype: Depth = "uint8",
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
            and a path or a callable that returns (H, W, C) uint8 or uint16.
        target: the folder of the database to be, by custom ``NAME.lmdb``.
        channels, dtype: how files are decoded; see :func:`superres.imaging.io.read_image`.
        recursive: for a folder: subfolders too.
        num_workers: decoding threads; None takes one per CPU.
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
    pictures = _pictures(source, target, channels, dtype, recursive)
    report = PackReport(target)
    info = {
        **json.loads(json.dumps(info or {})),
        "options": {"channels": channels, "dtype": dtype},
        "made_from": _made_from(pictures),
    }

    def up_to_date() -> bool:
        return target.exists() and _up_to_date(target, pictures, info, overwrite, report)

    done = up_to_date()  # seen without a lock, which a read-only disk would refuse
    if not done:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(os_fault(target, error, "folder", writing=True)) from None
        with lock_target(target, "packing to", report.notes.append):
            done = up_to_date()  # another process may have finished it meanwhile
            if not done:
                with PackWriter(target) as writer:
                    _pack(writer, pictures, num_workers, progress, report)
                    if report.failed and (strict or len(report.failed) == len(pictures)):
                        raise UserError(_failure(report))
                    report.count = writer.finish({**info, "left_out": dict(report.failed)})
    report.notes += ["already there and up to date"] if done else _notes(pictures, channels, dtype)
    report.bytes = (target / DATA_FILE).stat().st_size
    report.seconds = time.monotonic() - started
    return report


def merge(
    stores: Sequence[PictureStore | str | os.PathLike], target: str | os.PathLike, **options
) -> PackReport:
    """Join stores into one database. Options as :func:`pack_images`.

    Raises:
        UserError: two stores have a picture of the same name (both are named); as pack_images.
    """
    opened = [store if isinstance(store, PictureStore) else open_store(store) for store in stores]
    for store in opened:
        check_apart(target, store.path)
    return pack_images([one for store in opened for one in stored(store)], target, **options)


def _pictures(
    source: object, target: Path, channels: Channels, dtype: Depth, recursive: bool
) -> list[Picture]:
    """What is to be packed, in the order of the names."""
    if isinstance(source, str | os.PathLike):
        check_apart(target, source)
        source = open_store(os.path.abspath(source), channels, dtype, recursive)
    if isinstance(source, PictureStore):
        check_apart(target, source.path)
        source = stored(source)
    pictures = [
        one if isinstance(one, Picture) else loaded(*one, channels, dtype) for one in source
    ]
    for one in pictures:
        if isinstance(one.origin, Path) and (fault := unreadable(one.origin)):
            raise UserError(f"{fault} Mend or remove it; it is not left out silently.")
    if not pictures:
        raise UserError(f"{target}: nothing to pack, the source has no pictures.")
    return [one for _, one in by_name(target, ((one.name, one) for one in pictures))]


def _up_to_date(
    target: Path, pictures: list[Picture], info: dict, overwrite: bool, report: PackReport
) -> bool:
    """Whether the finished database at ``target`` is what this pack would make.

    Raises:
        UserError: it is not, and may not be overwritten; or it is no database of ours.
    """
    if not (target / DATA_FILE).exists():
        raise UserError(f"{target}: exists and is not a packed database. Choose another target.")
    try:
        store = ImageLmdb(target)
        left_out = store.info.get("left_out", {})
        same = store.info == {**info, "left_out": left_out}
        if same and overwrite:
            for i in range(len(store)):
                store.read_at(i)  # compares the checksum
    except UserError:
        if overwrite:
            return False
        raise
    if same:
        report.failed = list(left_out.items())
        report.count = report.reused = len(store)
    elif not overwrite:
        raise UserError(
            f"{target}: already there with {len(store)} pictures, and not what this pack would "
            f"make ({len(pictures)} pictures). Choose another target, or ask to overwrite it."
        )
    return same


def _made_from(pictures: list[Picture]) -> str:
    """A digest of what a pack is made from: changes when any picture does."""
    digest = hashlib.sha256()
    for one in pictures:
        digest.update(encode_name(one.name) + b"\0" + one.stamp() + b"\n")
    return digest.hexdigest()


def _notes(pictures: list[Picture], channels: Channels, dtype: Depth) -> list[str]:
    """How many files are changed by decoding them, in which way, and their names."""
    found: dict[str, list[str]] = {}
    for one in pictures:
        with contextlib.suppress(UserError):  # it was left out, and that is told
            if isinstance(one.origin, Path):
                for text in changes(image_header(one.origin), channels, dtype):
                    found.setdefault(text, []).append(one.name)
    count = len(pictures)
    return [f"{len(names)} of {count} {text}: {some(names, 3)}" for text, names in found.items()]


def _pack(
    writer: PackWriter,
    pictures: list[Picture],
    num_workers: int | None,
    progress: Progress | None,
    report: PackReport,
) -> None:
    def load(i: int) -> tuple[np.ndarray, int]:
        pixels = _as_pixels(pictures[i].load())
        return pixels, zlib.crc32(pixels)

    for i, packed, fault in in_order(load, len(pictures), num_workers):
        name = pictures[i].name
        if fault:
            report.failed.append((name, fault))
        else:
            writer.add(name, *packed)
            report.added += 1
        if progress is not None:
            progress(i + 1, len(pictures), name)


def _as_pixels(image: np.ndarray) -> np.ndarray:
    """A picture as the format holds it: (H, W, C), C-contiguous, uint8 or little-endian uint16."""
    image = image[..., None] if image.ndim == 2 else image
    dtype = image.dtype.newbyteorder("<")
    if image.ndim != 3 or 0 in image.shape or image.shape[2] > 255 or dtype not in SAMPLE_TYPES:
        raise UserError(
            f"{image.dtype} samples of shape {image.shape}; a picture is (H, W, C), uint8 or uint16"
        )
    return np.ascontiguousarray(image, dtype)


def _failure(report: PackReport) -> str:
    shown = some([f"\n  {name}: {fault}" for name, fault in report.failed], 20)
    return (
        f"{report.target}: not made, {len(report.failed)} of {len(report.failed) + report.added} "
        f"pictures cannot be packed:{shown}\n"
        "Put these right or remove them, and run the same command again."
    )
