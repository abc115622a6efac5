"""What a recipe decides: which files make which set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from superres.datasets.layouts import is_lmdb
from superres.datasets.locate import FoundSet
from superres.datasets.pairing import partners
from superres.datasets.prepare.source import folders
from superres.datasets.storage.base import by_name
from superres.errors import UserError
from superres.imaging.listing import list_images


@dataclass
class Options:
    """What was asked for; see the command's help.

    Attributes:
        scales: of the low-quality sides.
        border: border rule of a bicubic that is made here, ``reflect`` or ``replicate``.
        name: of the set, for recipes whose source does not name it.
    """

    root: Path
    out: Path
    scales: tuple[int, ...] = (2, 3, 4)
    num_workers: int | None = None
    verify: bool = True
    name: str | None = None
    border: str = "reflect"
    dtype: str = "uint8"
    allow_partial: bool = False
    overwrite: bool = False


Files = dict[str, Path]
"""Files by the names of their images."""


@dataclass
class SetPlan:
    """One set to be made.

    Attributes:
        name: the folder below the target.
        gt: the ground truths.
        lq: (degradation, scale) -> low-quality images, where the source has some, by the names
            of the ground truths.
        gt_at: scale -> ground truths of its own.
        own_lq: a low-quality side of the source stands alone; no bicubic one is made beside it.
        notes: for the report.
    """

    name: str = ""
    gt: Files = field(default_factory=dict)
    lq: dict[tuple[str, int], Files] = field(default_factory=dict)
    gt_at: dict[int, Files] = field(default_factory=dict)
    own_lq: bool = False
    notes: list[str] = field(default_factory=list)

    def take(self, other: SetPlan, names: Iterable[str] | None = None) -> SetPlan:
        """Add what another plan has, or has of ``names``; of two images of one name the first."""
        wanted = None if names is None else set(names)
        pairs = [(self.gt, other.gt)]
        pairs += [(self.lq.setdefault(key, {}), side) for key, side in other.lq.items()]
        for mine, theirs in pairs:
            for name, file in sorted(theirs.items()):
                if wanted is None or name in wanted:
                    mine.setdefault(name, file)
        self.lq = {key: side for key, side in sorted(self.lq.items()) if side}
        self.notes += other.notes
        return self


def files_of(folder: Path, recursive: bool = False) -> Files:
    """The images of a folder by their names without suffix, with the path below it.

    Raises:
        UserError: two files of one name; a packed folder.
    """
    if is_lmdb(folder):
        raise UserError(f"{folder}: packed already. Give a folder of images (--root)")
    places = folders(folder) if recursive else [folder]
    files = [file for place in places for file in list_images(place)]
    named = ((file.relative_to(folder).with_suffix("").as_posix(), file) for file in files)
    return dict(zip(*by_name(folder, named)))


def plan_of(found: FoundSet) -> SetPlan:
    """The plan of a set whose two sides are known.

    Raises:
        UserError: clashing names; a low-quality side cannot be read, or what lies here may be it.
    """
    doubts = found.doubts()
    if found.unreadable or (doubts and not found.lq):
        text = f"{doubts[0].rstrip('.')}, so the low-quality side of {found.gt} is not known"
        raise UserError(f"{text}. Mend that folder, call it LR, or move it away")
    plan = SetPlan(found.name, notes=doubts)
    sides = [found.gt, *found.gt_at.values(), *found.lq.values()]

    def files(side: Path) -> Files:
        # Below it too, where no other side lies there.
        alone = not any(other != side and other.is_relative_to(side) for other in sides)
        return files_of(side, recursive=alone)

    plan.gt = files(found.gt)
    plan.gt_at = {scale: files(path) for scale, path in found.gt_at.items() if path != found.gt}
    for (kind, scale), path in found.lq.items():
        low = files(path)
        partner = partners(list(plan.gt), list(low), scale)
        names = {list(low)[at]: name for name, at in zip(plan.gt, partner) if at >= 0}
        plan.lq[kind, scale] = {names.get(name, name): file for name, file in low.items()}
    return plan
