"""Take pictures out of a store and write them as files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from superres.datasets.storage import PictureStore, open_store
from superres.datasets.storage.pool import in_order
from superres.datasets.storage.writer import check_apart
from superres.errors import UserError
from superres.imaging.io import write_image


class UnreadableError(UserError):
    """A picture of a store cannot be read; the others are not touched by that."""


def extract(store: PictureStore | str | os.PathLike, name: str, path: str | os.PathLike) -> Path:
    """Write one picture of a store to ``path`` (or into it, as PNG, where it is a folder).

    Raises:
        UnreadableError: the picture is damaged.
        UserError: no such picture, the path cannot be written, a format that cannot hold it.
    """
    opened = store if isinstance(store, PictureStore) else open_store(store, "unchanged", "keep")
    path = Path(path)
    check_apart(path, opened.path)
    if path.is_dir():
        path, root = picture_path(path, name, ".png"), path
        _make_folder(path.parent, root)
    try:
        image = opened.read(name)
    except KeyError as error:
        raise UserError(f"{error.args[0]}.") from None
    except UserError as error:
        raise UnreadableError(*error.args) from None
    write_image(path, image)
    return path


def unpack(
    store: PictureStore | str | os.PathLike,
    folder: str | os.PathLike,
    *,
    suffix: str = ".png",
    overwrite: bool = False,
    num_threads: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    left_out: Callable[[str, str], None] | None = None,
) -> int:
    """Write all pictures of a store into a folder; names with ``/`` go to subfolders.

    Files are written atomically and existing ones are kept, so an interrupted run is continued
    by running it again.

    Args:
        suffix: chooses the format; ``.png`` is lossless for all that a store holds.
        overwrite: write existing files anew.
        num_threads: encoding threads; None takes one per CPU.
        progress: called as ``progress(done, total, name)``.
        left_out: called as ``left_out(name, fault)`` for a picture that cannot be read or whose
            name is hostile, and the others are written; without it such a picture is an error.

    Returns:
        The number of files written.

    Raises:
        UserError: a name that would lead out of the folder, pixels that do not match their
            checksum, a full disk, a read-only folder.
    """
    opened = store if isinstance(store, PictureStore) else open_store(store, "unchanged", "keep")
    root, names = Path(folder), opened.names()
    check_apart(root, opened.path)

    def write(i: int) -> tuple[bool, str]:
        """Whether a file was written, and why one is left out."""
        try:
            path = picture_path(root, names[i], suffix)
            if path.exists() and not overwrite:
                return False, ""
            image = opened.read_at(i)
        except UserError as error:
            return False, str(error)
        _make_folder(path.parent, root)
        write_image(path, image)
        return True, ""

    written = 0
    for i, done, fault in in_order(write, len(names), num_threads):
        wrote, unread = done or (False, "")
        if fault or (unread and left_out is None):
            raise UserError(fault or unread)
        if unread:
            left_out(names[i], unread)
        written += wrote
        if progress is not None:
            progress(i + 1, len(names), names[i])
    return written


def picture_path(root: Path, name: str, suffix: str) -> Path:
    """``root/name + suffix``, refused where a hostile name would lead out of ``root``.

    Raises:
        UserError: an empty or absolute name, one with ``..`` that leads out, or by way of a link.
    """
    path = root / f"{name}{suffix}"
    good = name.strip("./") and "\0" not in name
    if not good or not path.parent.resolve().is_relative_to(root.resolve()):
        raise UserError(
            f"The picture name {name!r} leads out of the folder {root}; nothing was written for it."
        )
    return path


def _make_folder(folder: Path, root: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{root}: cannot be written ({error.strerror}: {folder}).") from None
