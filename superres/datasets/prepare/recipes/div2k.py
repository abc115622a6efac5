"""DIV2K: the official zips or the folders from them; 800 training and 100 validation pictures."""

from __future__ import annotations

from superres.datasets.prepare.plan import Options, SetPlan
from superres.datasets.prepare.recipes._official import Official, official_pictures
from superres.datasets.prepare.source import Source
from superres.errors import UserError

ARCHIVES = "div2k"
TRAIN = [f"{i:04}" for i in range(1, 801)]
VALID = [f"{i:04}" for i in range(801, 901)]


def plan(source: Source, options: Options) -> list[SetPlan]:
    """``DIV2K_train`` and ``DIV2K_valid``.

    The numbers decide which is which: 0001 to 0800 are for training and 0801 to 0900 for
    validation, wherever they lie. Some packs in circulation have all 900 in the training folder.
    """
    found = official_pictures(source.pictures(ARCHIVES), "DIV2K")
    plans = [
        found.plan(name, names, set(names).__contains__)
        for name, names in (("DIV2K_train", TRAIN), ("DIV2K_valid", VALID))
    ]
    plans = [p for p in plans if p.gt]
    if not plans:
        raise UserError(nothing(source, "DIV2K", found))
    if len(plans) == 1:
        missing = (
            "training (0001 to 0800)"
            if plans[0].name == "DIV2K_valid"
            else ("validation (0801 to 0900)")
        )
        plans[0].notes.append(f"no {missing} pictures are here, only {plans[0].name}")
    for p in plans:
        where = "train" if p.name == "DIV2K_valid" else "valid"
        strays = [n for n, e in p.gt.items() if f"div2k_{where}_hr" in map(str.lower, e.folders)]
        if strays:
            p.notes.append(
                f"{len(strays)} pictures ({strays[0]}..{strays[-1]}) lie in DIV2K_{where}_HR; "
                f"their numbers make them {p.name}"
            )
    return plans


def nothing(source: Source, what: str, found: Official) -> str:
    """The message for a source without ground truth."""
    there = ""
    if found.lq:
        there = f" Low-quality pictures are there ({len(found.lq)} kinds), but no ground truth."
    if source.passed_over:
        names = ", ".join(file.name for file in source.passed_over[:5])
        there += f" Archives not looked into because of their names: {names}."
    example = (
        "DIV2K_train_HR.zip or DIV2K_train_HR/0001.png"
        if what == "DIV2K"
        else ("Flickr2K.tar or Flickr2K_HR/000001.png")
    )
    return f"{source.root}: no {what} pictures here or below it, such as {example}.{there}"
