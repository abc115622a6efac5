"""DIV2K: the official zips or the folders from them; 800 training and 100 validation images."""

from __future__ import annotations

from superres.datasets.prepare.plan import Options, SetPlan
from superres.datasets.prepare.recipes._official import official
from superres.datasets.prepare.source import Source
from superres.datasets.sets import KNOWN

SUCH_AS = "DIV2K images, such as DIV2K_train_HR.zip or DIV2K_train_HR/0001.png,"


def plan(source: Source, options: Options) -> list[SetPlan]:
    """``DIV2K_train`` and ``DIV2K_valid``.

    The numbers decide which is which: 0001 to 0800 are for training and 0801 to 0900 for
    validation, wherever they lie. Some packs in circulation have all 900 in the training folder.
    """
    found = official(source.open("div2k"), "DIV2K")
    names = ("DIV2K_train", "DIV2K_valid")
    plans = [SetPlan(name).take(found, KNOWN[name.lower()]) for name in names]
    plans = [p for p in plans if p.gt]
    if not plans:
        raise source.nothing(SUCH_AS)
    for p in plans:
        other = f"{next(name for name in names if name != p.name)}_HR"
        strays = [name for name, file in p.gt.items() if other.lower() in str(file).lower()]
        if strays:
            text = f"{len(strays)} images ({strays[0]}..{strays[-1]}) lie in {other}"
            p.notes.append(f"{text}; their numbers make them {p.name}")
    if len(plans) == 1:
        plans[0].notes.append(f"only images of {plans[0].name} are here")
    return plans
