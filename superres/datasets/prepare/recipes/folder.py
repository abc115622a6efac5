"""Any pictures: a folder with its subfolders and archives, or one archive; --name names the set."""

from __future__ import annotations

import re
from pathlib import Path

from superres.datasets.layouts import places, read_side, side_of, unread_low_side
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
    _refuse_several(source.root, relative)
    found = layout_of(relative, str(source.root), plain=False)
    if found is None:
        found = SetPlan("", {})
        for path, entry in relative:
            add(found.gt, path.rpartition(".")[0], entry)
    else:
        base = source.root.parent.joinpath(*entries[0].folders[:common])
        _tell_unused(found, relative, base)
    found.name, found.own_lq = name, True
    return [found]


def _refuse_several(root: Path, relative: list[tuple[str, Entry]]) -> None:
    """Folders that have two sides each are sets of their own."""
    folders = [path.split("/")[:-1] for path, _ in relative]
    if not any(side_of(f)[0] for f in folders):
        sets = sorted({f[0] for f in folders if side_of(f[1:])[0]})
        if sets:
            raise UserError(
                f"{root}: sets lie below it ({', '.join(sets[:6])}). Prepare them one by one, with "
                f"--root {root / sets[0]}"
            )


def _tell_unused(found: SetPlan, relative: list[tuple[str, Entry]], base: Path) -> None:
    """As in training: images beside HR are named, and are an error where they may be the LR."""
    used = {id(e) for side in (found.gt, *found.lq.values(), *found.gt_at.values())
            for e in side.values()}  # fmt: skip
    unused = sorted({path.rpartition("/")[0] for path, e in relative if id(e) not in used})
    if not found.lq:
        where = places(base) if base.is_dir() else []
        unread = unread_low_side(base, where, None, 0) if base.is_dir() else ""
        if unread:
            raise UserError(f"{unread}, and the high-quality side has no other. Move it away")
        if unused:
            raise UserError(
                f"{base / unused[0]} holds images that would not be used, and the high-quality "
                "side has no low-quality one. Call that folder LR, or move it away"
            )
    if unused:
        shown = ", ".join(str(base / folder) for folder in unused[:6])
        found.notes.append(f"{shown}: images that are not used")


def set_name(source: Source) -> str:
    """The source's own name, as a folder can be called."""
    stem = archive_stem(source.root.name) if source.root.is_file() else source.root.name
    return re.sub(r"[/\\]+", "_", stem or "") or "pictures"


def _common_folders(entries: list[Entry]) -> int:
    """How many folders above the sides all entries have in common."""
    first = entries[0].folders
    count = len(first)
    for entry in entries:
        shared = 0
        for a, b in zip(first[:count], entry.folders):
            if a != b:
                break
            shared += 1
        count = shared
    # A lone HR is the side of a set: what lies beside it matters.
    sides = (i for i in range(1, count) if (s := read_side([first[i]])) and not s.low)
    return next(sides, count)
