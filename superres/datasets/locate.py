"""From the name of a set to the pictures on disk.

A set is a name below ``data_root`` or a path. What lies there decides how it is read, so that the
same config runs on packed LMDBs, on the folders of the official archives and on any pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from superres.errors import UserError
from superres.imaging.files import IMAGE_SUFFIXES

PREPARE_COMMANDS = {
    "DIV2K": "superres data prepare div2k --root ARCHIVES --out {root}",
    "FLICKR2K": "superres data prepare flickr2k --root ARCHIVES --out {root}",
    "DF2K": "superres data prepare df2k --root ARCHIVES --out {root}",
    "291": "superres data prepare 291 --root PICTURES --out {root}",
    "SET5": "superres data prepare benchmark --root ARCHIVES --out {root}",
    "SET14": "superres data prepare benchmark --root ARCHIVES --out {root}",
    "B100": "superres data prepare benchmark --root ARCHIVES --out {root}",
    "URBAN100": "superres data prepare benchmark --root ARCHIVES --out {root}",
    "MANGA109": "superres data prepare benchmark --root ARCHIVES --out {root}",
}


@dataclass(frozen=True)
class PairedSet:
    """Where one set lies. ``lq`` is None where the low-quality pictures are made from ``gt``."""

    name: str
    gt: Path
    lq: Path | None


def _is_lmdb(path: Path) -> bool:
    return (path / "data.mdb").is_file()


def _first_picture(folder: Path) -> Path | None:
    if not folder.is_dir():
        return None
    pictures = (p for p in folder.iterdir() if p.name.lower().endswith(IMAGE_SUFFIXES))
    return next((p for p in pictures if p.name[0] != "."), None)


def _pairs_at(root: Path, scale: int, kind: str) -> Iterator[tuple[list[Path], list[Path]]]:
    """Known layouts: candidates for the ground truth and the low-quality side, best first."""
    # Our packs; a few sets in circulation have ground truths of their own for a scale.
    yield (
        [root / f"HR_X{scale}.lmdb", root / "HR.lmdb"],
        [root / f"LR_{kind}_X{scale}.lmdb"],
    )
    # EDSR's benchmark.tar, and our own folders.
    yield [root / f"HR_X{scale}", root / "HR"], [root / f"LR_{kind}" / f"X{scale}"]
    # BasicSR and MMEditing, pictures or databases.
    bicubic = [f"LRbicx{scale}.lmdb", f"LRbicx{scale}"] if kind == "bicubic" else []
    yield [root / "GTmod12.lmdb", root / "GTmod12"], [root / name for name in bicubic]
    # The official DIV2K archives, named by their common prefix DIV2K_train or DIV2K_valid.
    official = [root.with_name(f"{root.name}_LR_{kind}") / f"X{scale}"]
    if (kind, scale) == ("bicubic", 8):
        official.append(root.with_name(f"{root.name}_LR_x8"))
    yield [root.with_name(f"{root.name}_HR")], official


def locate(spec: str, data_root: str | Path, scale: int) -> PairedSet:
    """Find a set's pictures.

    Args:
        spec: a name below ``data_root`` or a path: of a folder of pictures, an LMDB, or a folder
            in one of the known layouts (``HR.lmdb`` + ``LR_bicubic_X4.lmdb``; ``HR/`` +
            ``LR_bicubic/X4/``; ``GTmod12/`` + ``LRbicx4/``; ``DIV2K_train_HR`` +
            ``DIV2K_train_LR_bicubic/X4``). ``DIV2K_train/LR_unknown`` takes that degradation
            instead of the bicubic; it must be there.

    Raises:
        UserError: nothing usable is there; the message names the command that makes it.
    """
    tried = []
    asked = re.fullmatch(r"(?P<set>.+)/LR_(?P<kind>\w+)/?", spec)
    kind = asked["kind"] if asked else "bicubic"
    base = asked["set"] if asked else spec
    for root in dict.fromkeys([Path(data_root) / base, Path(base)]):
        tried.append(root)
        name = root.name.removesuffix(".lmdb")
        for gt_candidates, lq_candidates in _pairs_at(root, scale, kind):
            gt = next((p for p in gt_candidates if _is_lmdb(p) or _first_picture(p)), None)
            if gt is None:
                continue
            lq = next((p for p in lq_candidates if _is_lmdb(p) or _first_picture(p)), None)
            if asked and lq is None:
                continue
            return PairedSet(f"{name}_LR_{kind}" if asked else name, gt, lq)
        for alone in (root, root.with_name(root.name + ".lmdb")):
            if not asked and (_is_lmdb(alone) or _first_picture(alone)):
                return PairedSet(name, alone, None)
    raise UserError(_not_found(spec, data_root, tried, scale))


def _not_found(spec: str, data_root: str | Path, tried: list[Path], scale: int) -> str:
    names = [part.upper() for part in reversed(Path(spec).parts)]
    key = next((k for name in names for k in PREPARE_COMMANDS if name.startswith(k)), None)
    there = next((p for p in tried if p.is_dir()), None)
    if there is not None:
        inside = sorted(p.name for p in there.iterdir())
        unfinished = [name for name in inside if name.endswith(".partial")]
        lacks = "no pictures, no LMDB and no known layout"
        if "/LR_" in spec:
            lacks = f"no ground truth with {spec.rstrip('/').rpartition('/')[2]}"
        what = f"the folder {there} holds {lacks} for x{scale} "
        what += f"(in it: {', '.join(inside[:6]) or 'nothing'})"
        if unfinished:
            what = f"{there}: preparing it was interrupted ({unfinished[0]}); run it again to go on"
    else:
        what = f"the set {spec!r} is not there (looked at {', '.join(map(str, tried))})"
    if key:
        return f"{what}. Make it with: {PREPARE_COMMANDS[key].format(root=data_root)}"
    return (
        f"{what}. Give a folder of pictures or a prepared set by --cfg-options (data_root, "
        f"train_set, val_sets, test_sets), or pack one with: "
        f"superres data prepare folder --root PICTURES --out {data_root}"
    )


def split_optional(spec: str) -> tuple[str, bool]:
    """``'Set5?'`` to ``('Set5', True)``: a set that may be missing."""
    return (spec[:-1], True) if spec.endswith("?") else (spec, False)
