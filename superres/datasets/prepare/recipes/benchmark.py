"""Set5, Set14, B100, Urban100 and Manga109, those that are there, in any layout in circulation."""

from __future__ import annotations

import re
from pathlib import Path

from superres.datasets.prepare.plan import Options, SetPlan
from superres.datasets.prepare.recipes._layouts import layout_of
from superres.datasets.prepare.source import Entry, Source
from superres.errors import UserError

ARCHIVES = "benchmark|sr_?testing|set5|set14|b100|bsds?_?100|urban100|manga109"
SETS = {"Set5": 5, "Set14": 14, "B100": 100, "Urban100": 100, "Manga109": 109}
_FOLDER = re.compile(
    r"(?P<set>set5|set14|b100|bsds?_?100|urban100|manga109)(?:_(?:SR|HR|original))?", re.IGNORECASE
)


def plan(source: Source, options: Options) -> list[SetPlan]:
    """A set for each that is found; the fullest place wins where one lies there several times."""
    places: dict[str, dict[tuple[str, ...], list[tuple[str, Entry]]]] = {name: {} for name in SETS}
    for entry in source.pictures(ARCHIVES):
        at = _set_folder(entry.folders)
        if at is not None:
            depth, name = at
            below = "/".join((*entry.folders[depth + 1 :], entry.path.rpartition("/")[2]))
            places[name].setdefault(entry.folders[: depth + 1], []).append((below, entry))
    plans = []
    for name, candidates in places.items():
        found = [layout_of(inside, _folder(*inside[0])) for inside in candidates.values()]
        found = [p for p in found if p is not None]
        if found:
            best = max(found, key=lambda p: (bool(p.lq), len(p.gt)))
            best.name, best.expected, best.must_be_complete = name, SETS[name], False
            best.gt = dict(sorted(best.gt.items()))
            plans.append(best)
    if not plans:
        passed = ", ".join(file.name for file in source.passed_over[:5])
        raise UserError(
            f"{source.root}: none of {', '.join(SETS)} is here or below it. Looked for folders and "
            "archives of these names (BSD100 and BSDS100 too) that hold HR/, GTmod12/, "
            "image_SRF_2/ or pictures."
            + (f" Archives not looked into because of their names: {passed}." if passed else "")
        )
    return plans


def _set_folder(folders: tuple[str, ...]) -> tuple[int, str] | None:
    """How deep the set's folder is, and the set; None outside of one, and below an LR folder."""
    for depth in range(len(folders) - 1, -1, -1):
        match = _FOLDER.fullmatch(folders[depth])
        if match is not None:
            if any(part.upper().startswith(("LR_", "SR_")) for part in folders[:depth]):
                return None  # such as LR_blur_down/Set5
            name = match["set"].lower()
            name = "b100" if name.startswith("bsd") else name
            return depth, next(known for known in SETS if known.lower() == name)
    return None


def _folder(below: str, entry: Entry) -> Path:
    """The set's folder on disk, from one of its pictures and its path in it."""
    return entry.file.parents[below.count("/")]
