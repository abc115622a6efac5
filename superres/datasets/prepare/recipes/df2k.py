"""DF2K: DIV2K's 800 training images and Flickr2K's 2650 in one set; DIV2K_valid beside it."""

from __future__ import annotations

from superres.datasets.prepare.plan import Options, SetPlan
from superres.datasets.prepare.recipes import div2k, flickr2k
from superres.datasets.prepare.recipes._official import official
from superres.datasets.prepare.source import Source
from superres.datasets.sets import KNOWN


def plan(source: Source, options: Options) -> list[SetPlan]:
    """``DF2K``, and ``DIV2K_valid`` where its images are there.

    DIV2K's names have four digits and Flickr2K's six, so they stay apart in one set.
    """
    tree = source.open("div2k|flickr2k|df2k")
    ours, flickr = official(tree, "DIV2K"), official(tree, "Flickr2K")
    for part, recipe in ((ours, div2k), (flickr, flickr2k)):
        if not part.gt:
            raise source.nothing(recipe.SUCH_AS)
    joined = SetPlan("DF2K").take(ours, KNOWN["div2k_train"]).take(flickr)
    # A degradation must cover both halves to be one of the joined set.
    joined.lq = {key: joined.lq[key] for key in ours.lq.keys() & flickr.lq.keys()}
    valid = SetPlan("DIV2K_valid").take(ours, KNOWN["div2k_valid"])
    return [joined, valid] if valid.gt else [joined]
