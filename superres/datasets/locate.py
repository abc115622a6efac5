"""From the name of a set to the pictures on disk.

A set is a name below ``data_root`` or a path. What lies there decides how it is read, so that the
same config runs on packed LMDBs, on the folders of the official archives and on any pictures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superres.datasets.layouts import (
    LAYOUTS,
    Place,
    choose_sides,
    holds_images,
    is_lmdb,
    places,
    read_side,
    unread_low_side,
)
from superres.datasets.storage.writer import PARTIAL_SUFFIX
from superres.errors import UserError

_RECIPES = {
    "DIV2K": "div2k",
    "FLICKR2K": "flickr2k",
    "DF2K": "df2k",
    "291": "291",
    **dict.fromkeys(("SET5", "SET14", "B100", "URBAN100", "MANGA109"), "benchmark"),
}


@dataclass(frozen=True)
class PairedSet:
    """Where one set lies. ``lq`` is None where the low-quality images are made from ``gt``.

    Attributes:
        notes: what lies there and is not used.
        only: which of the images are used, see :func:`superres.datasets.storage.chosen.chosen`.
    """

    name: str
    gt: Path
    lq: Path | None
    notes: tuple[str, ...] = ()
    only: str | None = None


Spec = str | Mapping[str, Any]

_MAKE = (
    "To have low-quality images made by bicubic, set make_lq='bicubic' "
    "(train_dataloader.dataset.make_lq, eval_dataset.make_lq)"
)


def locate(spec: Spec, data_root: str | Path, scale: int, needs_lq: bool = True) -> PairedSet:
    """Find a set's images.

    Args:
        spec: a name below ``data_root`` or a path: of a folder of images, an LMDB, or a folder in
            one of the known layouts (:data:`superres.datasets.layouts.LAYOUTS`).
            ``DIV2K_train/LR_unknown`` takes that degradation instead of the bicubic; it must be
            there. Or ``dict(gt=FOLDER, lq=FOLDER, name=NAME, only=LIST)``, of which ``gt`` must be
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
        raise UserError(
            f"{spec!r} is not a set: give a name, a path, or dict(gt=FOLDER, lq=FOLDER)"
        )
    asked = re.fullmatch(r"(?P<set>.+)/LR_(?P<kind>\w+)/?", spec)
    kind = asked["kind"] if asked else None
    base = asked["set"] if asked else spec
    tried = list(dict.fromkeys([Path(data_root) / base, Path(base)]))
    for root in tried:
        name = root.name.removesuffix(".lmdb")
        direct = holds_images(root)
        where = [] if is_lmdb(root) else places(root)
        try:
            gt, lq, strays = choose_sides(where, scale, kind, str(root))
        except UserError:
            if needs_lq:
                raise
            gt, lq, strays = _high_side(where, scale), None, []
        if gt is None and direct and not asked:
            _check_partner(root, scale, needs_lq)
            gt = Place(root, None)
        elif gt is not None and direct:
            strays.append(Place(root, None))
        if gt is not None and (lq is not None or not asked):
            if strays and needs_lq and (lq is None or any(p.side for p in strays)):
                raise UserError(_unused(gt, lq, strays, scale))
            word = gt.side.word if gt.side else ""
            unread = "" if lq else unread_low_side(root, where, word, scale)
            if unread and needs_lq:
                raise UserError(f"{unread}, and {gt.path} has no other low-quality side. {_MAKE}")
            notes = [
                f"{p.path} holds images and is not used"
                if p.below
                else f"the images right in {p.path} are not used"
                for p in strays
            ]
            full = f"{name}_LR_{kind}" if asked else name
            return PairedSet(full, gt.path, lq.path if lq else None, tuple(notes))
        packed = root.with_name(root.name + ".lmdb")
        if not asked and is_lmdb(packed):
            return PairedSet(name, packed, None)
    raise UserError(_not_found(spec, data_root, tried, scale))


def _named(spec: Mapping[str, Any], data_root: Path, scale: int) -> PairedSet:
    unknown = set(spec) - {"gt", "lq", "name", "only", "validate"}
    paths = {"gt": spec.get("gt"), "lq": spec.get("lq") or ""}
    no_path = [key for key, path in paths.items() if not isinstance(path, str | os.PathLike)]
    if unknown or no_path:
        wrong = (
            f"it has {', '.join(sorted(unknown))}" if unknown else f"{no_path[0]} must be a path"
        )
        raise UserError(
            f"the set {dict(spec)}: {wrong}; write dict(gt=FOLDER, lq=FOLDER), and name=NAME for "
            "tables, weight=NUMBER in a list of training sets"
        )
    found = []
    for key in ("gt", "lq"):
        if spec.get(key) is None:
            found.append(None)
            continue
        folder = os.fspath(spec[key]).replace("{scale}", str(scale))
        candidates = [data_root / folder, Path(folder)]
        place = next((p for p in candidates if holds_images(p)), None)
        if place is None:
            raise UserError(
                f"{key} = {folder!r} of a set: no images and no LMDB there (looked "
                f"at {', '.join(map(str, dict.fromkeys(candidates)))})"
            )
        found.append(place)
    only = spec.get("only")
    if only and (data_root / only).is_file():
        only = str(data_root / only)
    return PairedSet(set_name(spec), *found, only=only)


def set_name(spec: Spec) -> str:
    """What ``--sets`` calls a set: a dict's ``name``, else its folder's."""
    if not isinstance(spec, Mapping):
        return spec
    gt = Path(str(spec.get("gt") or ""))
    home = gt.absolute().parent if read_side([gt.name]) else gt
    return str(spec.get("name") or home.name.removesuffix(".lmdb"))


def _high_side(where: list[Place], scale: int) -> Place | None:
    """Of a set whose low-quality side does not matter."""
    high = [p for p in where if p.side and not p.side.low and p.side.scale in (None, scale)]
    return min(high, key=lambda p: (p.side.scale is None, not p.packed), default=None)


def high_side(folder: Path, scale: int) -> Path | None:
    """The folder with the ground truths of the set that lies in ``folder``; None: there is none."""
    where = [p for p in places(folder) if not p.packed]
    found = choose_sides(where, scale, "", str(folder))[0]
    return found and found.path


def _check_partner(folder: Path, scale: int, needs_lq: bool) -> None:
    """A folder that is called HR by itself: is there an LR beside it?"""
    side = read_side([folder.name])
    if not needs_lq or side is None or side.low:
        return
    beside = [
        p
        for p in places(folder.parent)
        if p.side and p.side.low and p.side.scale in (None, scale) and p.side.word == side.word
    ]
    if beside:
        raise UserError(_unused(Place(folder, side), None, beside, scale))


def _unused(gt: Place, lq: Place | None, strays: list[Place], scale: int) -> str:
    shown = ", ".join(str(p.path) for p in strays[:4]) + (" and more" if strays[4:] else "")
    used = f"low-quality images are taken from {lq.path}" if lq else "no low-quality side is known"
    return (
        f"{shown} holds images that would not be used: for {gt.path} {used}. Name the two sides, "
        f"dict(gt={str(gt.path)!r}, lq={str(strays[0].path)!r}), or move it away. {_MAKE}"
    )


def _not_found(spec: str, data_root: str | Path, tried: list[Path], scale: int) -> str:
    names = [part.upper() for part in reversed(Path(spec).parts)]
    recipe = next((_RECIPES[k] for name in names for k in _RECIPES if name.startswith(k)), None)
    there = next((p for p in tried if p.is_dir()), None)
    if there is not None:
        inside = sorted(p.name for p in there.iterdir())
        unfinished = [name for name in inside if name.endswith(PARTIAL_SUFFIX)]
        lacks = "no images, no LMDB and no known layout"
        below = [p for p in places(there) if p.side is None or p.side.low]
        sets = sorted({p.below[0] for p in below if p.side is None and read_side(p.below[1:])})
        if "/LR_" in spec:
            lacks = f"no ground truth with {spec.rstrip('/').rpartition('/')[2]}"
        elif sets:
            return (
                f"{there}: sets lie below it ({', '.join(sets[:6])}). Name one of them, such as "
                f"{there / sets[0]}, or write dict(gt=FOLDER, lq=FOLDER)"
            )
        elif below:
            shown = ", ".join("/".join(p.below) for p in below[:4])
            lacks = f"images in subfolders only ({shown}), none of which is the high-quality side,"
        what = f"the folder {there} holds {lacks} for x{scale} "
        what += f"(in it: {', '.join(inside[:6]) or 'nothing'})"
        if unfinished:
            what = f"{there}: preparing it was interrupted ({unfinished[0]}); run it again to go on"
    else:
        what = f"the set {spec!r} is not there (looked at {', '.join(map(str, tried))})"
    if recipe:
        command = f"superres data prepare {recipe} --root ARCHIVES --out {data_root}"
        return f"{what}. Make it with: {command}"
    return (
        f"{what}. Give a folder of images, a prepared set, or dict(gt=FOLDER, lq=FOLDER) by "
        "--cfg-options (data_root, train_set, val_sets, test_sets), or pack one with: "
        f"superres data prepare folder --root IMAGES --out {data_root}. Layouts that are known: "
        + LAYOUTS.format(s=scale)
    )


def split_optional(spec: Spec) -> tuple[Spec, bool]:
    """``'Set5?'`` to ``('Set5', True)``: a set that may be missing."""
    if isinstance(spec, Mapping):
        return spec, False
    return (spec[:-1], True) if spec.endswith("?") else (spec, False)
