"""The images of a folder, and what is said of the other files there."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from superres.errors import UserError
from superres.files import PathLike, is_folder, os_fault
from superres.imaging.io import image_header
from superres.imaging.kinds import IMAGE_SUFFIXES, first_bytes, is_junk, kind_of


def is_image(path: PathLike, left_out: Counter[str] | None = None) -> bool:
    """Whether a file is to be read as an image: by its suffix, else by its content.

    Args:
        left_out: what is not an image and no known junk is counted there, by suffix.
    """
    name = os.path.basename(os.fspath(path))
    hidden = name.startswith(".")
    named = name.lower().endswith(IMAGE_SUFFIXES) and not hidden
    if named or not os.path.isfile(path):
        return named
    head = first_bytes(path)
    if not hidden and kind_of(head) is not None:
        with contextlib.suppress(UserError):
            image_header(path)  # it also refuses raw files that are TIFFs
            return True
    if left_out is not None and not is_junk(name, head):
        left_out["hidden " * hidden + (Path(name).suffix.lower() or "without a suffix")] += 1
    return False


_say = functools.cache(logging.getLogger("superres").warning)


def list_images(
    folder: PathLike, recursive: bool = False, say: Callable[[str], object] = _say
) -> list[Path]:
    """The images of a folder, see :func:`is_image`, sorted by path; hidden files are left out.

    The order is that of the UTF-8 bytes of the path below ``folder``. Symbolic links are listed,
    also those that lead nowhere, and pipes: an image that cannot be read is not "not there", so
    reading it fails. With ``recursive``, linked folders are entered too, each folder once and
    those that are no links first; links back up are not.

    Args:
        say: told once which other files there are, and how many; a warning in the log by default.

    Raises:
        UserError: the folder is missing, unreadable, or not a folder.
    """
    root = Path(folder)
    found: list[Path] = []
    left_out: Counter[str] = Counter()
    pending, links, entered = [root], [], {*map(str, Path(os.path.realpath(root)).parents)}
    while pending or links:
        current = (pending or links).pop(0)
        if (real := os.path.realpath(current)) in entered:
            continue
        entered.add(real)
        try:
            with os.scandir(current) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if not is_folder(entry):
                        found += [Path(entry.path)] * is_image(entry.path, left_out)
                    elif recursive and not entry.name.startswith((".", "__MACOSX")):
                        (links if entry.is_symlink() else pending).append(Path(entry.path))
        except OSError as error:
            raise UserError(os_fault(current, error, "folder")) from None
    if left_out:
        counts = ", ".join(f"{left_out[suffix]} {suffix}" for suffix in sorted(left_out))
        say(f"{root}: not read here: {counts}")
    return sorted(found, key=lambda path: os.fsencode(path.relative_to(root).as_posix()))
