"""Any pictures: a folder with its subfolders and archives, or one archive; --name names the set."""

from __future__ import annotations

import re

from superres.datasets.prepare.archives import archive_stem
from superres.datasets.prepare.plan import Options, SetPlan, add
from superres.datasets.prepare.recipes._layouts import plan_of
from superres.datasets.prepare.source import Source
from superres.datasets.verify.sets import sets_at
from superres.errors import UserError, some


def plan(source: Source, options: Options) -> list[SetPlan]:
    """One set. ``HR/`` with ``LR_bicubic/X2/`` (or BasicSR's names) inside count as pairs."""
    entries = source.pictures()
    if not entries:
        raise UserError(f"{source.root}: no pictures here or below it.")
    sets = [one for base in source.bases for one in sets_at(base, 3)]
    if len(sets) > 1:
        raise UserError(
            f"{source.root}: several sets lie here ({some(one.home for one in sets)}). Prepare "
            "them one by one, with --root, the two sides of each in a folder of its own"
        )
    if sets and len(source.bases) > 1:
        raise UserError(
            f"{source.root}: the two sides of a set lie here, and archives beside them. Extract "
            "the archives first"
        )
    if sets:
        found = plan_of(sets[0])
    else:
        found = SetPlan("", {})
        above = _common_folders([entry.folders for entry in entries])
        for entry in entries:
            name = "/".join((*entry.folders[above:], entry.stem))
            add(found.gt, name, entry)
    found.name, found.own_lq = options.name or set_name(source), True
    return [found]


def set_name(source: Source) -> str:
    """The source's own name, as a folder can be called."""
    stem = archive_stem(source.root.name) if source.root.is_file() else source.root.name
    return re.sub(r"[/\\]+", "_", stem or "") or "pictures"


def _common_folders(folders: list[tuple[str, ...]]) -> int:
    """How many folders above their pictures all have in common."""
    first, last = min(folders), max(folders)
    return next((i for i, (a, b) in enumerate(zip(first, last)) if a != b), len(first))
