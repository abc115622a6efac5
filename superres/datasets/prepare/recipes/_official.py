"""The folder and file names of the DIV2K and Flickr2K archives.

``DIV2K_train_HR/0001.png``, ``DIV2K_train_LR_bicubic/X2/0001x2.png``, ``DIV2K_valid_...``,
``DIV2K_train_LR_x8/0001x8.png`` (bicubic), ``Flickr2K_HR/000001.png``, ... The zip of a folder is
called like it (``DIV2K_train_LR_bicubic_X2.zip``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from superres.datasets.prepare.plan import SetPlan, add
from superres.datasets.prepare.source import Entry
from superres.errors import UserError, some

_FOLDER = re.compile(
    r"(?P<set>DIV2K_(?:train|valid|test)|DIV2K|Flickr2K)_"
    r"(?:HR|LR_(?P<kind>bicubic|unknown)(?:_X(?P<scale>\d+))?|LR_x(?P<bicubic>8))",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?P<name>\d{4,6})(?:x(?P<scale>\d+))?", re.IGNORECASE)


@dataclass
class Official:
    """Pictures by number: ``gt[name]`` and ``lq[kind, scale][name]``."""

    gt: dict[str, Entry] = field(default_factory=dict)
    lq: dict[tuple[str, int], dict[str, Entry]] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)

    def plan(
        self, name: str, expected: list[str], belongs: Callable[[str], bool] | None = None
    ) -> SetPlan:
        """The set of the pictures that belong to it (all where None)."""
        belongs = belongs or (lambda _: True)

        def chosen(pictures: dict[str, Entry]) -> dict[str, Entry]:
            return {key: entry for key, entry in sorted(pictures.items()) if belongs(key)}

        lq = {key: chosen(pictures) for key, pictures in sorted(self.lq.items())}
        plan = SetPlan(name, chosen(self.gt), {k: v for k, v in lq.items() if v}, expected=expected)
        if self.strange:
            plan.notes.append(f"left out, not named like the official files: {some(self.strange)}")
        return plan


def official_pictures(entries: list[Entry], which: str) -> Official:
    """Sort the pictures of folders whose set's name begins with ``which``.

    Raises:
        UserError: a folder and a file in it disagree on the scale; clashing names.
    """
    found = Official()
    for entry in entries:
        folder, rest = _official_folder(entry.folders)
        if folder is None or not folder["set"].lower().startswith(which.lower()):
            continue
        name = _NAME.fullmatch(entry.stem)
        stated = {int(s) for s in (folder["scale"], folder["bicubic"], *rest) if s}
        if name is None:
            found.strange.append(str(entry.file))
            continue
        stated |= {int(name["scale"])} if name["scale"] else set()
        if len(stated) > 1:
            scales = " and ".join(f"x{s}" for s in sorted(stated))
            raise UserError(
                f"{entry.file}: its folder and its name disagree on the scale: {scales}"
            )
        kind = folder["kind"] or ("bicubic" if folder["bicubic"] else None)
        if kind is None and not stated:
            add(found.gt, name["name"], entry)
        elif kind is not None and stated:
            add(found.lq.setdefault((kind.lower(), stated.pop()), {}), name["name"], entry)
        else:
            found.strange.append(str(entry.file))
    return found


def _official_folder(folders: tuple[str, ...]) -> tuple[re.Match | None, list[str]]:
    """The innermost official folder, and the digits of an ``X2`` below it."""
    for depth in range(len(folders) - 1, -1, -1):
        match = _FOLDER.fullmatch(folders[depth])
        if match is not None:
            below = [re.fullmatch(r"[Xx](\d+)", part) for part in folders[depth + 1 :]]
            if all(below) and len(below) <= 1:
                return match, [m[1] for m in below]
            return None, []
    return None, []
