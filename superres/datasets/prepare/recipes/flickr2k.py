"""Flickr2K: its tar or its folders (Flickr2K_HR, Flickr2K_LR_bicubic/X2, ...); 2650 images."""

from __future__ import annotations

from superres.datasets.prepare.plan import Options, SetPlan
from superres.datasets.prepare.recipes._official import official
from superres.datasets.prepare.source import Source

SUCH_AS = "Flickr2K images, such as Flickr2K.tar or Flickr2K_HR/000001.png,"


def plan(source: Source, options: Options) -> list[SetPlan]:
    """``Flickr2K``."""
    found = official(source.open("flickr2k"), "Flickr2K")
    if not found.gt:
        raise source.nothing(SUCH_AS)
    return [found]
