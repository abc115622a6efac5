"""From the name of a set to the pictures on disk.

A set is a name below ``data_root`` or a path. What lies there decides how it is read, so that the
same config runs on packed LMDBs, on the folders of the official archives and on any pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from superres.errors import UserError

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

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


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
    return next((p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES), None)


def _pairs_at(root: Path, scale: int) -> Iterator[tuple[Path, list[Path]]]:
    """Known layouts: (ground truth, candidates for the low-quality side), best first."""
    # Our packs.
    yield root / "HR.lmdb", [root / f"LR_bicubic_X{scale}.lmdb"]
    # EDSR's benchmark.tar, and our own folders.
    yield root / "HR", [root / "LR_bicubic" / f"X{scale}"]
    # BasicSR and MMEditing.
    yield root / "GTmod12", [root / f"LRbicx{scale}"]
    # The official DIV2K archives, named by their common prefix DIV2K_train or DIV2K_valid.
    beside = root.parent
    yield beside / f"{root.name}_HR", [beside / f"{root.name}_LR_bicubic" / f"X{scale}"]


def locate(spec: str, data_root: str | Path, scale: int) -> PairedSet:
    """Find a set's pictures.

    Args:
        spec: a name below ``data_root`` or a path: of a folder of pictures, an LMDB, or a folder
            in one of the known layouts (``HR.lmdb`` + ``LR_bicubic_X4.lmdb``; ``HR/`` +
            ``LR_bicubic/X4/``; ``GTmod12/`` + ``LRbicx4/``; ``DIV2K_train_HR`` +
            ``DIV2K_train_LR_bicubic/X4``).

    Raises:
        UserError: nothing usable is there; the message names the command that makes it.
    """
    tried = []
    for root in dict.fromkeys([Path(data_root) / spec, Path(spec)]):
        tried.append(root)
        name = root.name.removesuffix(".lmdb")
        for gt, lq_candidates in _pairs_at(root, scale):
            if not (_is_lmdb(gt) or _first_picture(gt)):
                continue
            lq = next((p for p in lq_candidates if _is_lmdb(p) or _first_picture(p)), None)
            return PairedSet(name, gt, lq)
        for alone in (root, root.with_name(root.name + ".lmdb")):
            if _is_lmdb(alone) or _first_picture(alone):
                return PairedSet(name, alone, None)
    raise UserError(_not_found(spec, data_root, tried, scale))


def _not_found(spec: str, data_root: str | Path, tried: list[Path], scale: int) -> str:
    key = next((k for k in PREPARE_COMMANDS if Path(spec).name.upper().startswith(k)), None)
    there = next((p for p in tried if p.is_dir()), None)
    if there is not None:
        inside = sorted(p.name for p in there.iterdir())[:6]
        what = (
            f"the folder {there} holds no pictures, no LMDB and no known layout for x{scale} "
            f"(in it: {', '.join(inside) or 'nothing'})"
        )
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
