"""From the name of a set, or from a folder with sets, to the images on disk.

A set is a name below ``data_root`` or a path. What lies there decides how it is read, so that the
same config runs on packed LMDBs, on the folders of the official archives and on any images.
:func:`locate` finds the two sides for one scale, :func:`find_sets` the sets below a folder with
all their sides; both read folder names as :mod:`.layouts` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superres.datasets import layouts
from superres.datasets.pairing import partner_numbers
from superres.datasets.storage import open_store
from superres.datasets.storage.lmdb import UNFINISHED
from superres.errors import UserError, some

_RECIPES = re.compile(
    r"(?i)(?:.*/)?(?:(div2k|flickr2k|df2k|291)|set5|set14|b100|urban100|manga109)"
)


@dataclass(frozen=True)
class PairedSet:
    """Where one set lies. ``lq`` is None where the low-quality images are made from ``gt``.

    Attributes:
        notes: what lies there and is not used.
        only: which of the images are used, see :meth:`.ImageStore.chosen`.
    """

    name: str
    gt: Path
    lq: Path | None
    notes: tuple[str, ...] = ()
    only: str | None = None


Spec = str | Mapping[str, Any]


def locate(spec: Spec, data_root: str | Path, scale: int, needs_lq: bool = True) -> PairedSet:
    """Find a set's images.

    Args:
        spec: a name below ``data_root`` or a path: of a folder of images, an LMDB, or a folder in
            one of the known layouts (:data:`superres.datasets.layouts.LAYOUTS`).
            ``DIV2K_train/LR_unknown`` takes that degradation instead of the bicubic; it must be
            there. Or ``dict(gt=FOLDER, lq=FOLDER, name=NAME, only=LIST)``; ``gt`` must be
            there; ``{scale}`` in ``lq`` is the scale's number. ``dict(name=NAME)`` is the set of
            that name.
        data_root: where names are looked for.
        scale: of the pairs.
        needs_lq: whether the low-quality side is read where it is there; else it is made, and what
            lies beside the high-quality side does not matter.

    Raises:
        UserError: nothing usable is there; or images lie beside it that are not used, although
            they may be the low-quality side.
    """
    if isinstance(spec, Mapping) and set(spec) == {"name"}:
        spec = spec["name"]
    if isinstance(spec, Mapping):
        return _named(spec, Path(data_root), scale)
    if not isinstance(spec, str) or not spec:
        raise UserError(f"{spec!r} is not a set: give a name, path or dict(gt=FOLDER, lq=FOLDER)")
    asked = re.fullmatch(r"(.+)/LR_(\w+)/?", spec)
    base, kind = asked.groups() if asked else (spec, None)
    tried = list(dict.fromkeys([Path(data_root) / base, Path(base)]))
    for root in tried:
        packed = root.parent / f"{root.name}.lmdb"
        root = packed if layouts.is_lmdb(packed) and not root.exists() else root
        where = [p for p in layouts.places(root) if needs_lq or p.high]
        gt, lq, strays = layouts.choose_sides(where, scale, kind, str(root))
        if gt is None or (asked and lq is None):
            continue
        if gt.path == root and lq is None:
            layouts.refuse_both_in_one(root)
            strays += _partners_of(root, scale) if needs_lq else []
        doubts = [p for p in where if p.fault and p.low and p.side.word in ("", gt.side.word)]
        doubts = strays or [p for p in doubts if not layouts.of_another_scale(p, scale)]
        if needs_lq and (any(p.side for p in strays) or (lq is None and doubts)):
            raise UserError(_unused(gt, lq, doubts))
        notes = tuple(_stray(p)[2] for p in strays)
        name = Path(os.path.abspath(root)).name.removesuffix(".lmdb")  # '.' has one, too
        return PairedSet(f"{name}_LR_{kind}" if asked else name, gt.path, lq and lq.path, notes)
    raise UserError(_not_found(spec, data_root, tried, scale))


def _named(spec: Mapping[str, Any], data_root: Path, scale: int) -> PairedSet:
    paths = {"gt": spec.get("gt"), "lq": spec.get("lq") or ""}
    wrong = [f"it has {key}" for key in sorted({*spec} - {*paths, "name", "only", "validate"})]
    wrong += [f"{k} must be a path" for k in paths if not isinstance(paths[k], str | os.PathLike)]
    if wrong:
        text = f"the set {dict(spec)}: {', '.join(wrong)}; write dict(gt=FOLDER, lq=FOLDER)"
        raise UserError(f"{text}, with name=NAME for tables, weight=NUMBER among training sets")
    found: dict[str, Path | None] = {"gt": None, "lq": None}
    for key, path in paths.items():
        folder = os.fspath(path).replace("{scale}", str(scale))
        tried = dict.fromkeys([data_root / folder, Path(folder)]) if folder else ()
        found[key] = next((p for p in tried if layouts.holds_images(p)), None)
        if tried and found[key] is None:
            where = ", ".join(map(str, tried))
            raise UserError(f"{key} = {folder!r}: no images and no LMDB there (looked at {where})")
    only = spec.get("only")
    only = str(data_root / only) if only and (data_root / only).is_file() else only
    return PairedSet(set_name(spec), **found, only=only)


def set_name(spec: Spec) -> str:
    """What ``--sets`` calls a set: a dict's ``name``, else its folder's."""
    if not isinstance(spec, Mapping):
        return spec
    gt = Path(str(spec.get("gt") or ""))
    home = gt.absolute().parent if layouts.read_side([gt.name]) else gt
    return str(spec.get("name") or home.name.removesuffix(".lmdb"))


def high_side(folder: Path, scale: int) -> Path | None:
    """The folder with the ground truths of the set that lies in ``folder``; None: there is none."""
    where = [p for p in layouts.places(folder) if p.high and not p.packed]
    found = layouts.choose_sides(where, scale, None, str(folder))[0]
    return found and found.path


def _partners_of(folder: Path, scale: int) -> list[layouts.Place]:
    """What may be the other side of a folder called HR, or LR, by itself: it lies beside."""
    side = layouts.read_side([folder.name])
    beside = [p for p in (layouts.places(folder.parent) if side else ()) if p.side]
    beside = [p for p in beside if p.side.low != side.low and p.side.word == side.word]
    return [p for p in beside if p.side.scale in (None, scale) and not p.fault]


def _unused(gt: layouts.Place, lq: layouts.Place | None, doubts: list[layouts.Place]) -> str:
    what = some([p.fault or _stray(p)[2] for p in doubts], 4)
    used = f"low-quality images are taken from {lq.path}" if lq else "no low-quality side is known"
    # A low-quality side that was named alone was taken for the other.
    high, low = (doubts[0], gt) if doubts[0].high else (gt, doubts[0])
    pair = f"dict(gt={str(high.path)!r}, lq={str(low.path)!r})"
    text = f"{what}: for {gt.path} {used}. Name the two sides, {pair}, or move it away; or have"
    return f"{text} them made: make_lq='bicubic' in train_dataloader.dataset or eval_dataset"


def _not_found(spec: str, data_root: str | Path, tried: list[Path], scale: int) -> str:
    what = f"the set {spec!r} is not there (looked at {', '.join(map(str, tried))})"
    for there in [p for p in tried if p.is_dir()][:1]:
        kind, inside = re.search(r"/(LR_\w+)/?$", spec), layouts.places(there)
        lacks = "no images, no LMDB and no known layout"
        lacks = f"no ground truth with {kind[1]}" if kind else lacks
        what = f"the folder {there} holds {lacks} for x{scale}"
        if faults := [p.fault for p in inside if p.fault]:
            what += f"; {some(faults, 4)}"
        elif inside and not kind:
            below = some(("/".join(p.below) for p in inside), 4)
            what += f", but images in subfolders only ({below}). Name one of them, or both sides"
    if known := _RECIPES.match(spec):
        recipe = known[1] or "benchmark"
        command = f"superres data prepare {recipe.lower()} --root ARCHIVES --out {data_root}"
        return f"{what}. Make it with: {command}"
    what += ". Give a folder of images, a prepared set, or dict(gt=FOLDER, lq=FOLDER), or pack one"
    what += f" with: superres data prepare folder --root IMAGES --out {data_root}. Layouts that are"
    return f"{what} known: {layouts.LAYOUTS.format(s=scale)}"


def split_optional(spec: Spec) -> tuple[Spec, bool]:
    """``'Set5?'`` to ``('Set5', True)``: a set that may be missing."""
    optional = isinstance(spec, str) and spec.endswith("?")
    return spec[:-1] if optional else spec, optional


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
        doubts: (fault, path, message) of what lies there and is not in ``lq``: packs that are
            ``unfinished``, what is called its low-quality side and is ``unreadable``, folders
            that are ``unused`` and may be its low-quality side where that is not known.
    """

    name: str
    gt: Path
    gt_at: dict[int, Path] = field(default_factory=dict)
    lq: dict[tuple[str, int], Path] = field(default_factory=dict)
    doubts: list[tuple[str, Path, str]] = field(default_factory=list)

    @property
    def test(self) -> bool:
        """Whether it is a benchmark or a validation set, by its name; people train on the rest."""
        return bool(_TEST.fullmatch(self.name))


def shortfall(name: str, count: int | None, names: list[str]) -> str:
    """What is missing in a set that everybody knows, or of a wanted ``count``; else empty."""
    expected = KNOWN.get(name.lower(), len(names)) if count is None else count
    if isinstance(expected, int):
        text = f"{len(names)} images, and {name} has {expected}"
        return "" if expected == len(names) else text
    missing = sorted({*expected} - {*names})
    text = f"{len(names)} images, and {name} has {len(expected)}; missing: {some(missing)}"
    return text if missing else ""


def find_sets(folder: Path) -> list[FoundSet]:
    """The sets at a folder or up to three levels below it.

    Raises:
        UserError: there is none, or a folder cannot be read; folders could be either side.
    """
    if not (folder.exists() or folder.is_symlink()):
        raise UserError(f"{folder}: no such folder.")
    found = list(sets_at(folder, 3))
    if not found and layouts.holds_images(folder):
        layouts.refuse_both_in_one(folder)
        strays = layouts.choose_sides(layouts.places(folder), 0, None, folder.name)[2]
        doubts = [_stray(place) for place in strays]
        found = [FoundSet(folder.name.removesuffix(".lmdb"), folder, doubts=doubts)]
    if not found:
        text = f"{folder}: no set here or below it. A set is a folder with images, or with its two"
        known = f"sides: {layouts.LAYOUTS.format(s=2)}. Archives are prepared first"
        raise UserError(f"{text} {known}: superres data prepare")
    return found


def sets_at(folder: Path, depth: int) -> Iterator[FoundSet]:
    """The sets with sides at a folder, or where none is at it those up to ``depth`` levels below.

    Raises:
        UserError: a folder cannot be read; folders could be either side.
    """
    where = layouts.places(folder)
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


def _set_of(name: str, where: list[layouts.Place], others: list[layouts.Place]) -> FoundSet:
    """One set of the places that are its sides."""
    sides = [p for p in where if not p.fault]
    gt, _, strays = layouts.choose_sides([*(p for p in sides if p.high), *others], 0, None, name)
    own = {p.side.scale: p.path for p in sides if p.high and p.side.scale}
    # An interrupted first pack must not look like no set at all: opening it says what it is.
    first = gt.path if gt else next(iter(own.values()), where[0].path.with_suffix(""))
    found = FoundSet(name, first, own)
    low: dict[int, list[layouts.Place]] = {}
    for place in (p for p in sides if p.low):
        try:
            low.setdefault(place.side.scale or _ratio(first, place.path), []).append(place)
        except UserError as error:
            found.doubts.append(("unreadable", place.path, str(error)))
    for scale, candidates in sorted(low.items()):
        try:  # whether a training, which goes by the names alone, would know which is meant
            layouts.choose_sides([p for p in sides if p.side], scale, None, name)
        except UserError as error:
            found.doubts.append(("unreadable", first, str(error)))
        for place in sorted(candidates, key=lambda p: p.packed):  # a folder's pack wins
            # What is not called bicubic is not held against it.
            kind = place.side.kind or ("bicubic" if scale == 8 else "unknown")
            found.lq[kind, scale] = place.path
    found.lq = dict(sorted(found.lq.items()))
    found.doubts += [_stray(p) for p in strays if p.path not in own.values()]
    for place in (p for p in where if p.fault):
        unfinished = UNFINISHED in place.fault
        if unfinished or (place.low and not found.lq):
            found.doubts.append((("unused", "unfinished")[unfinished], place.path, place.fault))
    return found


def _stray(place: layouts.Place) -> tuple[str, Path, str]:
    return "unused", place.path, f"{place.path} holds images that are not used"


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
