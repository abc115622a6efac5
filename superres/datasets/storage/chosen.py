"""Some of a store's images: those of a list, or of a range of numbers."""

from __future__ import annotations

import re
from pathlib import Path

from superres.datasets.storage.base import PictureStore
from superres.errors import UserError, some


def chosen(store: PictureStore, only: str) -> PictureStore:
    """The images of a store that ``only`` names.

    Args:
        only: a file with a name in each line, as MMEditing's ``ann_file`` and BasicSR's
            ``meta_info_file``; or a range such as ``'801-810'``: of the numbers that the images
            are called by, of their places (from 1) where they are called otherwise.

    Raises:
        UserError: no such file, names that are not in the store, none that is.
    """
    names = list(store.names())
    if bounds := re.fullmatch(r"(\d+)-(\d+)", only):
        numbered = all(name.isdecimal() for name in names)
        called = map(int, names) if numbered else range(1, len(names) + 1)
        numbers = [i for i, n in enumerate(called) if int(bounds[1]) <= n <= int(bounds[2])]
    else:
        try:
            lines = Path(only).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{only}, the list of images of {store.path}: {error}") from error
        # MMEditing and BasicSR write a shape behind a name.
        wanted = [re.sub(r"\s*\(.*$", "", line).strip() for line in lines if line.strip()]
        wanted = [str(Path(name).with_suffix("")) for name in wanted]
        if missing := [name for name in wanted if name not in store]:
            raise UserError(
                f"{only}: {len(missing)} of its {len(wanted)} images are not in {store.path}: "
                f"{some(missing)}"
            )
        numbers = sorted({store.index(name) for name in wanted})
    if not numbers:
        raise UserError(f"{store.path}: only = {only!r} leaves none of its {len(names)} images")
    return store.only(numbers)
