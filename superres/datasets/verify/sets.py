"""Find the sets below a folder, in the layouts that :mod:`superres.datasets.locate` reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from superres.datasets.storage.environment import DATA_FILE
from superres.datasets.storage.writer import PARTIAL_SUFFIX
from superres.errors import UserError
from superres.imaging.files import os_fault
from superres.imaging.io import IMAGE_SUFFIXES

_LQ_PACK = re.compile(r"LR_(?P<kind>\w+?)_X(?P<scale>\d+)(?:\.lmdb)?", re.IGNORECASE)
_LQ_FOLDER = re.compile(r"LR_(?P<kind>bicubic|unknown)", re.IGNORECASE)
_LQ_BASICSR = re.compile(r"LRbicx(?P<scale>\d+)(?:\.lmdb)?", re.IGNORECASE)
_GT = ("HR.lmdb", "HR", "GTmod12.lmdb", "GTmod12", "GT")
_OFFICIAL = re.compile(r"(?P<set>.+?)_HR(?:\.lmdb)?", re.IGNORECASE)

#: What the known sets hold: names where they are numbered, else how many.
KNOWN: dict[str, list[str] | int] = {
    "div2k_train": [f"{i:04}" for i in range(1, 801)],
    "div2k_valid": [f"{i:04}" for i in range(801, 901)],
    "flickr2k": [f"{i:06}" for i in range(1, 2651)],
    "df2k": 3450,
    "291": 291,
    "t91": 91,
    "bsd200": 200,
    "set5": 5,
    "set14": 14,
    "b100": 100,
    "bsd100": 100,
    "urban100": 100,
    "manga109": 109,
    "general100": 100,
}
_TEST = re.compile(
    r"(?i)(.*[_-])?(valid(ation)?|val|test(ing)?)([_-].*)?"
    r"|set5|set14|b100|bsd100|urban100|manga109|general100"
)


@dataclass
class FoundSet:
    """One set on disk.

    Attributes:
        gt: the ground truths, a folder or a database.
        gt_at: scale -> ground truths of that scale's own.
        lq: (degradation, scale) -> the low-quality side.
        unfinished: packs whose packing was interrupted.
    """

    name: str
    gt: Path
    gt_at: dict[int, Path] = field(default_factory=dict)
    lq: dict[tuple[str, int], Path] = field(default_factory=dict)
    unfinished: list[Path] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The folder that is this set's alone."""
        return self.gt.parent if self.gt.name in _GT else self.gt

    @property
    def test(self) -> bool:
        """Whether it is a benchmark or a validation set, by its name; people train on the rest."""
        return bool(_TEST.fullmatch(self.name))

    @property
    def expected(self) -> list[str] | int | None:
        """Names or number of pictures, for a set that everybody knows."""
        return KNOWN.get(self.name.lower())

    def known_duplicate(self, first: str, second: str) -> bool:
        """Whether a set is known to hold this picture twice: t36 and t65 of T91."""
        numbers = {
            m[1] for m in (re.search(r"t0*(\d+)(?:\.\w+)?$", p) for p in (first, second)) if m
        }
        return self.name.lower() in ("291", "t91") and numbers == {"36", "65"}


def find_sets(folder: Path) -> list[FoundSet]:
    """The sets at a folder or up to three levels below it.

    Raises:
        UserError: there is none, or a folder cannot be read.
    """
    if not folder.exists():
        raise UserError(f"{folder}: no such folder.")
    found = list(_sets_at(folder, 3))
    if not found and holds_pictures(folder):
        found = [FoundSet(folder.name.removesuffix(".lmdb"), folder)]
    if not found:
        raise UserError(
            f"{folder}: no set here or below it. A set is a folder with HR.lmdb or HR/ (and "
            "LR_bicubic_X2.lmdb or LR_bicubic/X2/), DIV2K_train_HR/ beside "
            "DIV2K_train_LR_bicubic/X2/, or pictures. Archives are prepared first: "
            "superres data prepare."
        )
    return found


def holds_pictures(path: Path) -> bool:
    """Whether a path is a database, or a folder with pictures right in it."""
    if (path / DATA_FILE).exists():
        return True
    if not path.is_dir():
        return False
    with os.scandir(path) as entries:
        return any(e.name.lower().endswith(IMAGE_SUFFIXES) and e.name[0] != "." for e in entries)


def _sets_at(folder: Path, depth: int) -> Iterator[FoundSet]:
    try:
        inside = sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    except OSError as error:
        raise UserError(os_fault(folder, error, "folder")) from None
    names = {p.name: p for p in inside}
    unfinished = [p for p in inside if p.name.endswith(PARTIAL_SUFFIX)]
    gt = next((names[n] for n in _GT if n in names), None)
    if gt is None:
        # An interrupted first pack, or a damaged one, must not look like no set at all.
        gt = next((folder / n for n in _GT if n + PARTIAL_SUFFIX in names), None)
    if gt is not None:
        found = FoundSet(folder.resolve().name, gt, unfinished=unfinished)
        for path in inside:
            if match := re.fullmatch(r"HR_X(\d+)(?:\.lmdb)?", path.name):
                found.gt_at[int(match[1])] = path
        found.lq = dict(_lq_sides(inside))
        yield found
        return
    used = set()
    for path in inside:
        match = _OFFICIAL.fullmatch(path.name)
        if match and holds_pictures(path):
            prefix = match["set"] + "_"
            beside = [p for p in inside if p.name.startswith(prefix)]
            used.update(beside)
            sides = dict(_lq_sides(beside, prefix))
            yield FoundSet(match["set"], path, lq=sides)
    if depth:
        for path in inside:
            if path not in used and not path.name.endswith(PARTIAL_SUFFIX):
                yield from _sets_at(path, depth - 1)


def _lq_sides(folders: list[Path], prefix: str = "") -> Iterator[tuple[tuple[str, int], Path]]:
    for path in folders:
        name = path.name.removeprefix(prefix)
        if match := _LQ_PACK.fullmatch(name):
            yield (match["kind"].lower(), int(match["scale"])), path
        elif match := _LQ_BASICSR.fullmatch(name):
            yield ("bicubic", int(match["scale"])), path
        elif name.lower() == "lr_x8":
            yield ("bicubic", 8), path
        elif match := _LQ_FOLDER.fullmatch(name):
            for below in sorted(p for p in path.iterdir() if p.is_dir()):
                if scale := re.fullmatch(r"[Xx](\d+)", below.name):
                    yield (match["kind"].lower(), int(scale[1])), below
