"""DF2K: DIV2K's 800 training pictures and Flickr2K's 2650 in one set; DIV2K_valid beside it."""

from __future__ import annotations

from superres.datasets.prepare.plan import Options, SetPlan
from superres.datasets.prepare.recipes import div2k, flickr2k
from superres.datasets.prepare.recipes._official import Official, official_pictures
from superres.datasets.prepare.source import Source
from superres.errors import UserError

ARCHIVES = "div2k|flickr2k|df2k"


def plan(source: Source, options: Options) -> list[SetPlan]:
    """``DF2K``, and ``DIV2K_valid`` where its pictures are there.

    DIV2K's names have four digits and Flickr2K's six, so they stay apart in one set.
    """
    entries = source.pictures(ARCHIVES)
    parts = [official_pictures(entries, which) for which in ("DIV2K", "Flickr2K")]
    for part, name in zip(parts, ("DIV2K", "Flickr2K")):
        if not part.gt:
            raise UserError(div2k.nothing(source, name, part))
    train = set(div2k.TRAIN)
    joined = Official(strange=parts[0].strange + parts[1].strange)
    for part, belongs in zip(parts, (train.__contains__, lambda _: True)):
        joined.gt |= {name: e for name, e in part.gt.items() if belongs(name)}
    # A degradation must cover both halves to be one of the joined set.
    for key in parts[0].lq.keys() & parts[1].lq.keys():
        joined.lq[key] = {n: e for n, e in parts[0].lq[key].items() if n in train}
        joined.lq[key] |= parts[1].lq[key]
    plans = [joined.plan("DF2K", div2k.TRAIN + flickr2k.NAMES)]
    valid = parts[0].plan("DIV2K_valid", div2k.VALID, set(div2k.VALID).__contains__)
    return plans + ([valid] if valid.gt else [])
