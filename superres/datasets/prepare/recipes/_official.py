"""The folder and file names of the DIV2K and Flickr2K archives.

``DIV2K_train_HR/0001.png``, ``DIV2K_train_LR_bicubic/X2/0001x2.png``, ``DIV2K_valid_...``,
``DIV2K_train_LR_x8/0001x8.png`` (bicubic), ``Flickr2K_HR/000001.png``, ... The zip of a folder is
called like it (``DIV2K_train_LR_bicubic_X2.zip``).
"""

from __future__ import annotations

import re
from pathlib import Path

from superres.datasets.layouts import read_side
from superres.datasets.prepare.plan import SetPlan, files_of
from superres.datasets.prepare.source import folders
from superres.errors import some

_NAME = re.compile(r"(\d{4,6})(?:x(\d+))?", re.IGNORECASE)


def official(tree: Path, which: str) -> SetPlan:
    """All images of the folders whose names begin with ``which``, by their numbers.

    Raises:
        UserError: clashing names.
    """
    found = SetPlan(which)
    strange = []
    for folder in folders(tree):
        parts = folder.relative_to(tree.parent).parts
        official = [
            i for i, part in enumerate(parts) if part.lower().startswith(f"{which}_".lower())
        ]
        side = read_side(parts[official[-1] :]) if official else None
        kind = side and (side.kind or ("bicubic" if side.scale == 8 else ""))
        if side is None or (side.low and (not side.scale or kind not in ("bicubic", "unknown"))):
            continue
        one = SetPlan()
        images = one.lq.setdefault((kind, side.scale), {}) if side.low else one.gt
        for name, file in files_of(folder).items():
            match = _NAME.fullmatch(name)
            if match and (match[2] is None or int(match[2]) == side.scale):
                images[match[1]] = file
            else:
                strange.append(file)
        found.take(one)
    if strange:
        found.notes.append(f"left out, not named like the official files: {some(strange)}")
    return found
