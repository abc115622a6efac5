"""Any pictures: a folder with its subfolders and archives, or one archive; --name names the set."""

from __future__ import annotations

import re

from superres.datasets.prepare.archives import archive_stem
from superres.datasets.prepare.entries import Entry
from superres.datasets.prepare.plan import Options, SetPlan, add
from superres.datasets.prepare.recipes._layouts import layout_of
from superres.datasets.prepare.source import Source
from superres.errors import UserError


def plan(source: Source, options: Options) -> list[SetPlan]:
    """One set. ``HR/`` with ``LR_bicubic/X2/`` (or BasicSR's names) inside count as pairs."""
    entries = source.pictures()
    if not entries:
        raise UserError(f"{source.root}: no pictures here or below it.")
    name = options.name or set_name(source)
    common = _common_folders(entries)
    relative = [("/".join(e.path.split("/")[common:]), e) for e in entries]
    found = layout_of(relative, plain=False)
    if found is None:
        found = SetPlan("", {})
        for path, entry in relative:
            add(found.gt, path.rpartition(".")[0], entry)
    else:
        used = len(found.gt) + sum(len(pictures) for pictures in found.lq.values())
        if used < len(entries):
            found.notes.append(f"{len(entries) - used} pictures outside of HR and LR are left out")
    found.name, found.own_lq = name, True
    return [found]


def set_name(source: Source) -> str:
    """The source's own name, as a folder can be called."""
    stem = archive_stem(source.root.name) if source.root.is_file() else source.root.name
    return re.sub(r"[/\\]+", "_", stem or "") or "pictures"


def _common_folders(entries: list[Entry]) -> int:
    """How many folders all entries have in common at the start of their paths."""
    first = entries[0].folders
    count = len(first)
    for entry in entries:
        shared = 0
        for a, b in zip(first[:count], entry.folders):
            if a != b:
                break
            shared += 1
        count = shared
    return count
