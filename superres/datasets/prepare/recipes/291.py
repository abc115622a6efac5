"""The classical 291 training images: T91 and BSD200, in one folder or in two."""

from __future__ import annotations

import re

from superres.datasets.prepare.plan import Options, SetPlan, files_of
from superres.datasets.prepare.source import Source, folders

_FOLDER = re.compile(r"(?:train_?)?(?:291|t91|bsds?_?200|yang91)", re.IGNORECASE)


def plan(source: Source, options: Options) -> list[SetPlan]:
    """``291``: of folders called 291, T91, BSD200 and alike, else of all images there are."""
    tree = source.open("t91|bsd|291")
    places = list(folders(tree))
    named = [p for p in places if any(map(_FOLDER.fullmatch, p.relative_to(tree.parent).parts))]
    found = SetPlan("291")
    for place in named or places:
        found.take(SetPlan(gt=files_of(place)))
    if not found.gt:
        raise source.nothing("images of T91 or BSD200")
    return [found]
