"""Set5, Set14, B100, Urban100 and Manga109, those that are there, in any layout in circulation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from superres.datasets.prepare.plan import Options, SetPlan, files_of, plan_of
from superres.datasets.prepare.source import Source, folders
from superres.datasets.sets import sets_at

SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109")
_ARCHIVES = "benchmark|sr_?testing|set5|set14|b100|bsds?_?100|urban100|manga109"
_FOLDER = re.compile(
    r"(set5|set14|b100|bsds?_?100|urban100|manga109)(?:_(?:SR|HR|original))?", re.IGNORECASE
)


def plan(source: Source, options: Options) -> list[SetPlan]:
    """A set for each that is found; the fullest place wins where one lies there several times."""
    tree = source.open(_ARCHIVES)
    found: dict[str, list[SetPlan]] = {name: [] for name in SETS}
    for folder in folders(tree):
        name = _set_name(folder.relative_to(tree.parent).parts)
        if name and (one := _layout(folder)):
            one.name = name
            found[name].append(one)
    best = [max(plans, key=lambda p: (bool(p.lq), len(p.gt))) for plans in found.values() if plans]
    if not best:
        raise source.nothing(
            f"folder or archive of {', '.join(SETS)} (BSD100 and BSDS100 too) with HR/, GTmod12/, "
            "image_SRF_2/ or images"
        )
    return best


def _set_name(folders: Sequence[str]) -> str | None:
    """The set that a folder is called; None below an LR folder, such as LR_blur_down/Set5."""
    match = _FOLDER.fullmatch(folders[-1])
    if not match or any(part.upper().startswith(("LR_", "SR_")) for part in folders[:-1]):
        return None
    name = "b100" if match[1].lower().startswith("bsd") else match[1].lower()
    return next(known for known in SETS if known.lower() == name)


def _layout(folder: Path) -> SetPlan | None:
    """The images of one set; None for a folder in no known layout."""
    for found in sets_at(folder, 0):
        return plan_of(found)
    plan = SetPlan()
    # SelfExSR has a ground truth for each scale, cropped to it, and methods' results beside.
    for part in sorted(folder.glob("image_SRF_[0-9]*")):
        sides: dict[str, dict[str, Path]] = {"HR": {}, "LR": {}}
        for name, file in files_of(part).items():
            if match := re.fullmatch(r"(.+?)_SRF_\d+_(HR|LR)", name):
                sides[match[2]][match[1]] = file
        scale = int(part.name.rpartition("_")[2])
        plan.gt_at[scale], plan.lq["bicubic", scale] = sides["HR"], sides["LR"]
    if plan.gt_at:
        plan.gt = plan.gt_at.pop(min(plan.gt_at))
    else:
        files = files_of(folder)
        plan.gt = {re.sub(r"_(GT|HR)$", "", name): file for name, file in files.items()}
    return plan if plan.gt else None
