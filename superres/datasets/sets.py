"""The sets below a folder, with all their sides, in the layouts of :mod:`.layouts`."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from superres.datasets.layouts import (
    LAYOUTS,
    Place,
    choose_sides,
    holds_images,
    is_lmdb,
    places,
    read_side,
    refuse_both_in_one,
)
from superres.datasets.pairing import partner_numbers
from superres.datasets.storage import open_store
from superres.errors import UserError, some
from superres.files import os_fault

#: What the known sets hold: names where they are numbered, else how many.
KNOWN: dict[str, list[str] | int] = {
    "div2k_train": [f"{i:04}" for i in range(1, 801)],
    "div2k_valid": [f"{i:04}" for i in range(801, 901)],
    "flickr2k": [f"{i:06}" for i in range(1, 2651)],
    **{"291": 291, "t91": 91, "bsd200": 200, "set5": 5, "set14": 14, "b100": 100, "bsd100": 100},
    **{"urban100": 100, "manga109": 109, "general100": 100},
}
KNOWN["df2k"] = KNOWN["div2k_train"] + KNOWN["flickr2k"]
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
        broken: what is called one of its sides and cannot be read as one.
        unreadable: why what is called its low-quality side is not in ``lq``.
        unused: folders with images beside its sides that are neither.
    """

    name: str
    gt: Path
    gt_at: dict[int, Path] = field(default_factory=dict)
    lq: dict[tuple[str, int], Path] = field(default_factory=dict)
    broken: list[Place] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unused: list[Path] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The folder that is this set's alone."""
        side = read_side([self.gt.name])
        return self.gt.parent if side and not side.word else self.gt

    @property
    def test(self) -> bool:
        """Whether it is a benchmark or a validation set, by its name; people train on the rest."""
        return bool(_TEST.fullmatch(self.name))

    def doubts(self) -> list[str]:
        """What lies beside a set without a low-quality side and may be it."""
        return [
            *self.unreadable,
            *(p.fault for p in self.broken if p.low and not self.lq),
            *(f"{path} holds images that are not used" for path in self.unused),
        ]


def shortfall(name: str, count: int | None, names: list[str]) -> str:
    """What is missing in a set that everybody knows, or of a wanted ``count``; else empty."""
    expected = KNOWN.get(name.lower()) if count is None else count
    if isinstance(expected, int) and expected != len(names):
        return f"{len(names)} images, and {name} has {expected}"
    there = set(names)
    missing = [one for one in expected if one not in there] if isinstance(expected, list) else []
    total = f"{len(names)} images, and {name} has {len(expected)}" if missing else ""
    return total and f"{total}; missing: {some(missing)}"


def find_sets(folder: Path) -> list[FoundSet]:
    """The sets at a folder or up to three levels below it.

    Raises:
        UserError: there is none, or a folder cannot be read; folders could be either side.
    """
    if not folder.exists():
        raise UserError(os_fault(folder, FileNotFoundError(errno.ENOENT, ""), "folder"))
    found = list(sets_at(folder, 3))
    if not found and holds_images(folder):
        refuse_both_in_one(folder)
        strays = choose_sides(places(folder), 0, None, folder.name)[2]
        name, unused = folder.name.removesuffix(".lmdb"), [p.path for p in strays]
        found = [FoundSet(name, folder, unused=unused)]
    if not found:
        raise UserError(
            f"{folder}: no set here or below it. A set is a folder with images, or with its two "
            f"sides: {LAYOUTS.format(s=2)}. Archives are prepared first: superres data prepare."
        )
    return found


def sets_at(folder: Path, depth: int) -> Iterator[FoundSet]:
    """The sets with sides at a folder, or where none is at it those up to ``depth`` levels below.

    Raises:
        UserError: a folder cannot be read; folders could be either side.
    """
    if is_lmdb(folder):
        return
    where = places(folder)
    high, low = [p for p in where if p.high], [p for p in where if p.low]
    if all(p.fault for p in low):  # images alone are a set only where they are asked for
        high = [p for p in high if p.path != folder]
    words = sorted({p.side.word for p in high})
    for word in words:
        mine = [p for p in high if p.side.word == word]
        partners = [p for p in low if p.side.word == word] or (low if len(words) == 1 else [])
        # DIV2K_train_HR is the set DIV2K_train, spelt as the folder is.
        pattern = word.replace("_", "[^a-z0-9]+")
        spelt = word and re.match(pattern, mine[0].below[0], re.IGNORECASE)
        unused = [p for p in where if p.side is None and not word]
        yield _set_of(spelt[0] if spelt else folder.resolve().name, [*mine, *partners], unused)
    if depth and (not words or words[0]):
        used = {p.below[0] for p in where if p.below and p.side and p.side.word in words}
        for path in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
            if path.name not in used:
                yield from sets_at(path, depth - 1)


def _set_of(name: str, where: list[Place], others: list[Place]) -> FoundSet:
    """One set of the places that are its sides."""
    broken = [p for p in where if p.fault]
    sides = [p for p in where if not p.fault]
    gt, _, strays = choose_sides([*(p for p in sides if p.high), *others], 0, None, name)
    own = {p.side.scale: p.path for p in sides if p.high and p.side.scale}
    # An interrupted first pack must not look like no set at all: opening it says what it is.
    first = gt.path if gt else next(iter(own.values()), where[0].path.with_suffix(""))
    unused = [p.path for p in strays if p.path not in own.values()]
    found = FoundSet(name, first, own, broken=broken, unused=unused)
    low: dict[int, list[Place]] = {}
    for place in (p for p in sides if p.low):
        try:
            low.setdefault(place.side.scale or _ratio(found.gt, place.path), []).append(place)
        except UserError as error:
            found.unreadable.append(str(error))
    for scale, candidates in sorted(low.items()):
        try:  # whether a training, which goes by the names alone, would know which is meant
            choose_sides([p for p in sides if p.side], scale, None, name)
        except UserError as error:
            found.unreadable.append(str(error))
        for place in sorted(candidates, key=lambda p: p.packed):  # a folder's pack wins
            # What is not called bicubic is not held against it.
            kind = place.side.kind or ("bicubic" if scale == 8 else "unknown")
            found.lq[kind, scale] = place.path
    found.lq = dict(sorted(found.lq.items()))
    return found


def _ratio(gt: Path, lq: Path) -> int:
    """The scale of a side whose name states none, by the sizes of the first pair that can be read.

    Raises:
        UserError: there is no such pair.
    """
    high, low = open_store(gt), open_store(lq)
    pairs = [(i, n) for i, n in enumerate(partner_numbers(high, low, 1)) if n >= 0]
    faults = []
    for first, number in pairs:
        try:
            return max(1, round(high.shape_at(first)[0] / low.shape_at(number)[0]))
        except UserError as error:
            faults.append(str(error).rstrip("."))
    why = faults[0] if faults else f"no image is called as one of {gt}, such as {high.name_at(0)}"
    raise UserError(f"{lq}: no pair can be read: {why}")
