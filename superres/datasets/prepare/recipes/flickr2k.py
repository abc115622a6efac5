"""Flickr2K: its tar or its folders (Flickr2K_HR, Flickr2K_LR_bicubic/X2, ...); 2650 pictures."""

from __future__ import annotations

from superres.datasets.prepare.plan import Options, SetPlan
from superres.datasets.prepare.recipes._official import official_pictures
from superres.datasets.prepare.recipes.div2k import nothing
from superres.datasets.prepare.source import Source
from superres.errors import UserError

ARCHIVES = "flickr2k"
NAMES = [f"{i:06}" for i in range(1, 2651)]


def plan(source: Source, options: Options) -> list[SetPlan]:
    """``Flickr2K``."""
    found = official_pictures(source.pictures(ARCHIVES), "Flickr2K")
    if not found.gt:
        raise UserError(nothing(source, "Flickr2K", found))
    return [found.plan("Flickr2K", NAMES)]
