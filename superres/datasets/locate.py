"""From the name of a set to the images on disk.

A set is a name below ``data_root`` or a path. What lies there decides how it is read, so that the
same config runs on packed LMDBs, on the folders of the official archives and on any images.
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
    of_another_scale,
    places,
    read_side,
    refuse_both_in_one,
)
from superres.errors import UserError, some

_RECIPES = {
    **{"DIV2K": "div2k", "FLICKR2K": "flickr2k", "DF2K": "df2k", "291": "291"},
    **dict.fromkeys(("SET5", "SET14", "B100", "URBAN100", "MANGA109"), "benchmark"),
}


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
        raise UserError(
            f"{spec!r} is not a set: give a name, a path, or dict(gt=FOLDER, lq=FOLDER)"
        )
    asked = re.fullmatch(r"(.+)/LR_(\w+)/?", spec)
    base, kind = asked.groups() if asked else (spec, None)
    tried = list(dict.fromkeys([Path(data_root) / base, Path(base)]))
    for root in tried:
        packed = root.parent / f"{root.name}.lmdb"
        root = packed if is_lmdb(packed) and not root.exists() else root
        where = [p for p in places(root) if needs_lq or p.high]
        gt, lq, strays = choose_sides(where, scale, kind, str(root))
        if gt is None or (asked and lq is None):
            continue
        if gt.path == root and lq is None:
            refuse_both_in_one(root)
            strays += _partners_of(root, scale) if needs_lq else []
        doubts = [p for p in where if p.fault and p.low and p.side.word in ("", gt.side.word)]
        doubts = strays or [p for p in doubts if not of_another_scale(p, scale)]
        if needs_lq and (any(p.side for p in strays) or (lq is None and doubts)):
            raise UserError(_unused(gt, lq, doubts))
        notes = tuple(f"{p.path} holds images that are not used" for p in strays)
        name = Path(os.path.abspath(root)).name.removesuffix(".lmdb")  # '.' has one, too
        return PairedSet(f"{name}_LR_{kind}" if asked else name, gt.path, lq and lq.path, notes)
    raise UserError(_not_found(spec, data_root, tried, scale))


def _named(spec: Mapping[str, Any], data_root: Path, scale: int) -> PairedSet:
    unknown = set(spec) - {"gt", "lq", "name", "only", "validate"}
    paths = {"gt": spec.get("gt"), "lq": spec.get("lq") or ""}
    wrong = [f"it has {key}" for key in sorted(unknown)]
    wrong += [
        f"{k} must be a path" for k, p in paths.items() if not isinstance(p, str | os.PathLike)
    ]
    if wrong:
        raise UserError(
            f"the set {dict(spec)}: {', '.join(wrong)}; write dict(gt=FOLDER, lq=FOLDER), and "
            "name=NAME for tables, weight=NUMBER in a list of training sets"
        )
    found: dict[str, Path | None] = {"gt": None, "lq": None}
    for key in found:
        if spec.get(key) is None:
            continue
        folder = os.fspath(spec[key]).replace("{scale}", str(scale))
        candidates = dict.fromkeys([data_root / folder, Path(folder)])
        found[key] = next((p for p in candidates if holds_images(p)), None)
        if found[key] is None:
            raise UserError(
                f"{key} = {folder!r} of a set: no images and no LMDB there (looked "
                f"at {', '.join(map(str, candidates))})"
            )
    only = spec.get("only")
    only = str(data_root / only) if only and (data_root / only).is_file() else only
    return PairedSet(set_name(spec), **found, only=only)


def set_name(spec: Spec) -> str:
    """What ``--sets`` calls a set: a dict's ``name``, else its folder's."""
    if not isinstance(spec, Mapping):
        return spec
    gt = Path(str(spec.get("gt") or ""))
    home = gt.absolute().parent if read_side([gt.name]) else gt
    return str(spec.get("name") or home.name.removesuffix(".lmdb"))


def high_side(folder: Path, scale: int) -> Path | None:
    """The folder with the ground truths of the set that lies in ``folder``; None: there is none."""
    where = [p for p in places(folder) if p.high and not p.packed]
    found = choose_sides(where, scale, None, str(folder))[0]
    return found and found.path


def _partners_of(folder: Path, scale: int) -> list[Place]:
    """What may be the other side of a folder called HR, or LR, by itself: it lies beside."""
    side = read_side([folder.name])
    beside = [p for p in (places(folder.parent) if side else ()) if p.side]
    beside = [p for p in beside if p.side.low != side.low and p.side.word == side.word]
    return [p for p in beside if p.side.scale in (None, scale) and not p.fault]


def _unused(gt: Place, lq: Place | None, doubts: list[Place]) -> str:
    what = [p.fault or f"{p.path} holds images that are not used" for p in doubts]
    used = f"low-quality images are taken from {lq.path}" if lq else "no low-quality side is known"
    # A low-quality side that was named alone was taken for the other.
    high, low = (doubts[0], gt) if doubts[0].high else (gt, doubts[0])
    return (
        f"{some(what, 4)}: for {gt.path} {used}. Name the two sides, "
        f"dict(gt={str(high.path)!r}, lq={str(low.path)!r}), or move it away. To have "
        "low-quality images made by bicubic, set make_lq='bicubic' "
        "(train_dataloader.dataset.make_lq, eval_dataset.make_lq)"
    )


def _not_found(spec: str, data_root: str | Path, tried: list[Path], scale: int) -> str:
    there = next((p for p in tried if p.is_dir()), None)
    if there is None:
        what = f"the set {spec!r} is not there (looked at {', '.join(map(str, tried))})"
    else:
        lacks = "no images, no LMDB and no known layout"
        if kind := re.search(r"/(LR_\w+)/?$", spec):
            lacks = f"no ground truth with {kind[1]}"
        what = f"the folder {there} holds {lacks} for x{scale}"
        inside = places(there)
        if faults := [p.fault for p in inside if p.fault]:
            what += f"; {some(faults, 4)}"
        elif inside and not kind:
            below = some(("/".join(p.below) for p in inside), 4)
            what += f", but images in subfolders only ({below}). Name one of them, or both sides"
    names = [part.upper() for part in reversed(Path(spec).parts)]
    recipe = next((_RECIPES[k] for name in names for k in _RECIPES if name.startswith(k)), None)
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
