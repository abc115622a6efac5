"""Any images: a folder with its subfolders and archives, or one archive; --name names the set."""

from __future__ import annotations

import os

from superres.datasets.layouts import refuse_both_in_one
from superres.datasets.prepare.plan import Options, SetPlan, files_of, plan_of
from superres.datasets.prepare.source import Source
from superres.datasets.sets import sets_at
from superres.errors import UserError, some


def plan(source: Source, options: Options) -> list[SetPlan]:
    """One set; two sides in any of the known layouts are pairs."""
    tree = source.open()
    sets = list(sets_at(tree, 3))
    if len(sets) > 1:
        raise UserError(
            f"{source.root}: several sets lie here ({some(one.home for one in sets)}). Prepare "
            "them one by one, with --root, the two sides of each in a folder of its own"
        )
    found = plan_of(sets[0]) if sets else SetPlan()
    if not sets:
        refuse_both_in_one(tree)
        files = files_of(tree, recursive=True)
        above = os.path.commonpath([os.path.dirname(name) for name in files] or [""])
        found.gt = {name[len(above) :].lstrip("/"): file for name, file in files.items()}
    if not found.gt:
        raise source.nothing("images")
    found.name, found.own_lq = options.name or source.name, True
    return [found]
