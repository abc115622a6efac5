"""Some of a store's pictures: those of a list, or of a range of numbers."""

from __future__ import annotations

import re
from pathlib import Path

from superres.datasets.storage.base import PictureStore
from superres.errors import UserError, some

_RANGE = re.compile(r"(\d+)-(\d+)")
_SHAPE = re.compile(r"\s*\(.*$")  # behind the names of MMEditing's and BasicSR's lists


def chosen(store: PictureStore, only: str) -> PictureStore:
    """The pictures of a store that ``only`` names.

    Args:
        only: a file with a name in each line, as MMEditing's ``ann_file`` and BasicSR's
            ``meta_info_file``; or a range such as ``'801-810'``: of the numbers that the pictures
            are called by, of their places (from 1) where these are no numbers.

    Raises:
        UserError: no such file, names that are not in the store, none that is.
    """
    bounds = _RANGE.fullmatch(only)
    names = list(store.names())
    if bounds:
        called = [int(n) for n in names] if all(n.isdecimal() for n in names) else None
        first, last = map(int, bounds.groups())
        places = enumerate(called or range(1, len(names) + 1))
        numbers = [i for i, number in places if first <= number <= last]
    else:
        try:
            lines = Path(only).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{only}: cannot be read ({error}); it lists the images of {store.path} that are "
                "used. Without only=... all of them are"
            ) from error
        wanted = [_SHAPE.sub("", line).strip() for line in lines if line.strip()]
        wanted = [str(Path(name).with_suffix("")) for name in wanted]
        missing = [name for name in wanted if name not in store]
        if missing:
            raise UserError(
                f"{only}: {len(missing)} of its {len(wanted)} images are not in {store.path}: "
                f"{some(missing)}"
            )
        numbers = sorted({store.index(name) for name in wanted})
    if not numbers:
        raise UserError(f"{store.path}: only = {only!r} leaves none of its {len(names)} images")
    return store.only(numbers)
