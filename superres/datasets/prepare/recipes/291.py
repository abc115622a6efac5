"""The classical 291 training pictures: T91 and BSD200, in one folder or in two."""

from __future__ import annotations

import re

from superres.datasets.prepare.plan import Options, SetPlan, add
from superres.datasets.prepare.source import Source
from superres.errors import UserError

ARCHIVES = "t91|bsd|291"
_FOLDER = re.compile(r"(?:train_?)?(?:291|t91|bsds?_?200|yang91)", re.IGNORECASE)


def plan(source: Source, options: Options) -> list[SetPlan]:
    """``291``: of folders called 291, T91, BSD200 and alike, else of all pictures there are."""
    entries = source.pictures(ARCHIVES)
    chosen = [e for e in entries if any(_FOLDER.fullmatch(part) for part in e.folders)] or entries
    gt = {}
    for entry in chosen:
        add(gt, entry.stem, entry)
    if not gt:
        raise UserError(f"{source.root}: no pictures of T91 or BSD200 here or below it.")
    return [SetPlan("291", dict(sorted(gt.items())), expected=291, must_be_complete=False)]
