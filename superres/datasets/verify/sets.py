"""Find the sets below a folder, in the layouts that :mod:`superres.datasets.locate` reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from superres.datasets.layouts import (
    LAYOUTS,
    RESULTS,
    Place,
    Side,
    choose_sides,
    holds_images,
    is_lmdb,
    places,
    read_side,
    unread_low_side,
)
from superres.datasets.pairing import partner_numbers
from superres.datasets.storage import open_store
from superres.datasets.storage.writer import PARTIAL_SUFFIX
from superres.errors import UserError
from superres.files import os_fault

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
        unused: folders with images beside its sides that are neither.
        unread: what is called its low-quality side and is none, with the reason.
    """

    name: str
    gt: Path
    gt_at: dict[int, Path] = field(default_factory=dict)
    lq: dict[tuple[str, int], Path] = field(default_factory=dict)
    unfinished: list[Path] = field(default_factory=list)
    unused: list[Path] = field(default_factory=list)
    unread: str = ""

    @property
    def home(self) -> Path:
        """The folder that is this set's alone."""
        side = read_side([self.gt.name])
        return self.gt.parent if side and not side.word else self.gt

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
        UserError: there is none, or a folder cannot be read; folders could be either side.
    """
    if not folder.exists():
        raise UserError(f"{folder}: no such folder.")
    found = list(sets_at(folder, 3))
    if not found and holds_images(folder):
        found = [FoundSet(folder.name.removesuffix(".lmdb"), folder)]
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
    try:
        inside = sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    except OSError as error:
        raise UserError(os_fault(folder, error, "folder")) from None
    unfinished = [p for p in inside if p.name.endswith(PARTIAL_SUFFIX)]
    where = places(folder)
    # An interrupted first pack, or a damaged one, must not look like no set at all.
    for path in unfinished:
        final = path.with_name(path.name.removesuffix(PARTIAL_SUFFIX))
        side = read_side([final.name])
        if side and not side.low and all(p.path != final for p in where):
            where.append(Place(final, side, (final.name,)))
    high = [p for p in where if p.side and not p.side.low]
    words = sorted({p.side.word for p in high})
    for word in words:
        # DIV2K_train_HR is the set DIV2K_train, spelt as the folder is.
        first = next(p for p in high if p.side.word == word)
        spelt = re.match(word.replace("_", "[^a-z0-9]+"), first.below[0], re.IGNORECASE)
        name = spelt[0] if spelt and word else folder.resolve().name
        low = [p for p in where if p.side and p.side.low]
        low = [p for p in low if p.side.word == word] or (low if len(words) == 1 else [])
        found = _set_of(name, [p for p in high if p.side.word == word] + low, unfinished)
        if not word:
            strays = [p.path for p in where if p.side is None]
            found.unused = [path for path in strays if not RESULTS.match(path.name)]
        found.unread = "" if found.lq else unread_low_side(folder, where, word, 0)
        yield found
    direct = not words and holds_images(folder)
    low = [p for p in where if p.side and p.side.low]
    if direct and low:
        yield _set_of(folder.resolve().name, [Place(folder, Side(False)), *low], unfinished)
    elif depth and (not words or words[0]):
        used = {p.path for p in where if p.side and p.side.word in words}
        used |= {path.parent for path in used} | set(unfinished)
        for path in inside:
            if path not in used:
                yield from sets_at(path, depth - 1)


def _set_of(name: str, where: list[Place], unfinished: list[Path]) -> FoundSet:
    """One set of the places that are its sides."""
    gt, _, _ = choose_sides([p for p in where if not p.side.low], 0, None, name)
    own = {p.side.scale: p.path for p in where if not p.side.low and p.side.scale}
    found = FoundSet(name, gt.path if gt else own[min(own)], gt_at=own, unfinished=unfinished)
    for place in sorted(where, key=lambda p: p.packed):  # a packed side before the same as files
        if place.side.low and (scale := place.side.scale or _ratio(found.gt, place.path)):
            # What is not called bicubic is not held against it.
            kind = place.side.kind or ("bicubic" if scale == 8 else "unknown")
            found.lq[kind, scale] = place.path
    found.lq = dict(sorted(found.lq.items()))
    return found


def _ratio(gt: Path, lq: Path) -> int | None:
    """The scale of a side whose name states none, by the sizes of its first image."""
    try:
        high, low = open_store(gt), open_store(lq)
        first = next(i for i, n in enumerate(partner_numbers(high, low, 1)) if n >= 0)
        number = partner_numbers(high, low, 1)[first]
        return max(1, round(high.shape_at(first)[0] / low.shape_at(number)[0]))
    except (UserError, StopIteration):
        return None
