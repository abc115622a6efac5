"""The sources that can be prepared: ``plan_NAME`` plans the sets of the source ``NAME``.

A plan says which files make which set. The first line of its function's docstring is its help.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superres.datasets.layouts import is_lmdb, read_side, refuse_both_in_one
from superres.datasets.locate import KNOWN, FoundSet, find_sets, sets_at
from superres.datasets.pairing import partners
from superres.datasets.prepare.source import Source, folders
from superres.datasets.storage.base import by_name
from superres.errors import UserError, some
from superres.files import write_atomically
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

    def take(self, other: SetPlan, names: Sequence[str] | None = None) -> SetPlan:
        """Add what another plan has, or has of ``names``; of two images of one name the first."""
        pairs = [(self.gt, other.gt)]
        pairs += [(self.lq.setdefault(key, {}), side) for key, side in other.lq.items()]
        for mine, theirs in pairs:
            for name, file in sorted(theirs.items()):
                if names is None or name in names:
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


def set_plan(found: FoundSet) -> SetPlan:
    """The plan of a set whose two sides are known.

    Raises:
        UserError: clashing names; a low-quality side cannot be read, or what lies here may be it.
    """
    doubts = [text for *_, text in found.doubts]
    if doubts and (not found.lq or any(fault == "unreadable" for fault, *_ in found.doubts)):
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


_OFFICIAL_NAME = re.compile(r"(\d{4,6})(?:x(\d+))?", re.IGNORECASE)
_NUMBERS = {
    "DIV2K": {*KNOWN["div2k_train"], *KNOWN["div2k_valid"]},
    "Flickr2K": {*KNOWN["flickr2k"]},
}


def _official(source: Source, which: str) -> SetPlan:
    """All images of the folders whose names begin with ``which``, by their numbers.

    As in the archives of DIV2K and Flickr2K: ``DIV2K_train_HR/0001.png``,
    ``DIV2K_train_LR_bicubic/X2/0001x2.png``, ``DIV2K_train_LR_x8/0001x8.png`` (bicubic),
    ``Flickr2K_HR/000001.png``, ... The zip of a folder is called like it
    (``DIV2K_train_LR_bicubic_X2.zip``).

    Raises:
        UserError: clashing names.
    """
    found, strange = SetPlan(which), []
    for folder in folders(source.tree):
        parts = folder.relative_to(source.tree.parent).parts
        named = [i for i, p in enumerate(parts) if p.lower().startswith(f"{which}_".lower())]
        side = read_side(parts[named[-1] :]) if named else None
        kind = side and (side.kind or ("bicubic" if side.scale == 8 else ""))
        if side is None or (side.low and (not side.scale or kind not in ("bicubic", "unknown"))):
            continue
        one = SetPlan()
        images = one.lq.setdefault((kind, side.scale), {}) if side.low else one.gt
        for name, file in files_of(folder).items():
            match = _OFFICIAL_NAME.fullmatch(name)
            ours = match and match[1] in _NUMBERS[which]
            if ours and (match[2] is None or int(match[2]) == side.scale):
                images[match[1]] = file
            else:
                strange.append(file)
        found.take(one)
    if strange:
        found.notes.append(f"left out, not named like the official files: {some(strange)}")
    return found


def plan_div2k(source: Source, options: Options) -> list[SetPlan]:
    """DIV2K: the official zips or the folders from them; 800 training and 100 validation images.

    The numbers decide which is which: 0001 to 0800 are for training and 0801 to 0900 for
    validation, wherever they lie. Some packs in circulation have all 900 in the training folder.
    """
    source.open("div2k")
    found = _official(source, "DIV2K")
    names = ("DIV2K_train", "DIV2K_valid")
    plans = [SetPlan(name).take(found, KNOWN[name.lower()]) for name in names]
    for plan, other in zip(plans, reversed(names)):
        folder = f"{other}_HR"
        if strays := [n for n, f in plan.gt.items() if folder.lower() in str(f).lower()]:
            text = f"{len(strays)} images ({strays[0]}..{strays[-1]}) lie in {folder}"
            plan.notes.append(f"{text}; their numbers make them {plan.name}")
    return plans


def plan_flickr2k(source: Source, options: Options) -> list[SetPlan]:
    """Flickr2K: its tar or its folders (Flickr2K_HR, Flickr2K_LR_bicubic/X2, ...); 2650 images."""
    source.open("flickr2k")
    return [_official(source, "Flickr2K")]


def plan_df2k(source: Source, options: Options) -> list[SetPlan]:
    """DF2K: DIV2K's 800 training images and Flickr2K's 2650 in one set; DIV2K_valid beside it.

    DIV2K's names have four digits and Flickr2K's six, so they stay apart in one set.
    """
    source.open("div2k|flickr2k|df2k")
    ours, flickr = _official(source, "DIV2K"), _official(source, "Flickr2K")
    joined = SetPlan("DF2K").take(ours, KNOWN["div2k_train"]).take(flickr)
    # A degradation must cover both halves to be one of the joined set.
    joined.lq = {key: joined.lq[key] for key in ours.lq.keys() & flickr.lq.keys()}
    valid = SetPlan("DIV2K_valid").take(ours, KNOWN["div2k_valid"])
    return [joined, valid] if ours.gt and flickr.gt else []


_FOLDER_291 = re.compile(r"(?:train_?)?(?:291|t91|bsds?_?200|yang91)", re.IGNORECASE)


def plan_291(source: Source, options: Options) -> list[SetPlan]:
    """The classical 291 training images: T91 and BSD200, in one folder or in two.

    That is of folders called 291, T91, BSD200 and alike, else of all images there are.
    """
    tree = source.open("t91|bsd|291")
    places = list(folders(tree))
    named = [p for p in places if any(map(_FOLDER_291.fullmatch, p.relative_to(tree.parent).parts))]
    found = SetPlan("291")
    for place in named or places:
        found.take(SetPlan(gt=files_of(place)))
    return [found]


_BENCHMARKS = ("Set5", "Set14", "B100", "Urban100", "Manga109")
_ARCHIVES = "benchmark|sr_?testing|set5|set14|b100|bsds?_?100|urban100|manga109"
_BENCHMARK_FOLDER = re.compile(
    r"(set5|set14|b100|bsds?_?100|urban100|manga109)(?:_(?:SR|HR|original))?", re.IGNORECASE
)


def plan_benchmark(source: Source, options: Options) -> list[SetPlan]:
    """Set5, Set14, B100, Urban100 and Manga109, those that are there, in any layout in circulation.

    The fullest place wins where one lies there several times.
    """
    tree = source.open(_ARCHIVES)
    found: dict[str, list[SetPlan]] = {name: [] for name in _BENCHMARKS}
    for folder in folders(tree):
        name = _benchmark_of(folder.relative_to(tree.parent).parts)
        if name and (one := _benchmark_plan(folder)):
            one.name = name
            found[name].append(one)
    return [max(plans, key=lambda p: (bool(p.lq), len(p.gt))) for plans in found.values() if plans]


def _benchmark_of(folders: Sequence[str]) -> str | None:
    """The set that a folder is called; None below an LR folder, such as LR_blur_down/Set5."""
    match = _BENCHMARK_FOLDER.fullmatch(folders[-1])
    if not match or any(part.upper().startswith(("LR_", "SR_")) for part in folders[:-1]):
        return None
    name = "b100" if match[1].lower().startswith("bsd") else match[1].lower()
    return next(known for known in _BENCHMARKS if known.lower() == name)


def _benchmark_plan(folder: Path) -> SetPlan | None:
    """The images of one set; None for a folder in no known layout."""
    for found in sets_at(folder, 0):
        return set_plan(found)
    plan = SetPlan()
    # SelfExSR has a ground truth for each scale, cropped to it, and methods' results beside.
    for part in sorted(folder.glob("image_SRF_[0-9]*")):
        sides: dict[str, dict[str, Path]] = {"HR": {}, "LR": {}}
        for name, file in files_of(part).items():
            if match := re.fullmatch(r"(.+?)_SRF_\d+_(HR|LR)", name):
                sides[match[2]][match[1]] = file
        scale = int(part.name.rpartition("_")[2])
        plan.gt_at[scale], plan.lq["bicubic", scale] = sides["HR"], sides["LR"]
    if plan.gt_at:
        plan.gt = plan.gt_at.pop(min(plan.gt_at))
    else:
        files = files_of(folder)
        plan.gt = {re.sub(r"_(GT|HR)$", "", name): file for name, file in files.items()}
    return plan if plan.gt else None


def plan_folder(source: Source, options: Options) -> list[SetPlan]:
    """Any images: a folder with its subfolders and archives, or one archive; --name names the set.

    Two sides in any of the known layouts are pairs.
    """
    tree = source.open()
    sets = list(sets_at(tree, 3))
    if len(sets) > 1:
        text = f"{source.root}: several sets lie here ({some(one.gt for one in sets)})"
        raise UserError(f"{text}. Prepare them one by one (--root), each in a folder of its own")
    found = set_plan(sets[0]) if sets else SetPlan()
    if not sets:
        refuse_both_in_one(tree)
        files = files_of(tree, recursive=True)
        above = os.path.commonpath([os.path.dirname(name) for name in files] or [""])
        found.gt = {name[len(above) :].lstrip("/"): file for name, file in files.items()}
    found.name, found.own_lq = options.name or source.name, True
    return [found]


_GT, _LQ = ("hr", "gt", "image", "img", "high_resolution"), ("lr", "lq", "low_resolution")
_SPLITS = {"train": "train", "validation": "valid", "valid": "valid", "test": "test"}


def plan_hf(source: Source, options: Options) -> list[SetPlan]:
    """A local Hugging Face data set (parquet, or save_to_disk), such as eugenesiow/Div2k.

    Columns ``hr`` and ``lr`` (or ``gt``/``lq``, or only ``image``), each an image or the path of
    one. The scale is that of the folder or file (``bicubic_x2``), else --scales must name just
    one. Every split becomes a set: ``NAME_train``, ``NAME_valid``, or ``NAME`` where there is only
    one. Reading needs the package pyarrow only.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UserError("prepare hf needs the package pyarrow: pip install pyarrow") from None
    tables = [*source.root.rglob("*.parquet"), *source.root.rglob("*.arrow")]
    tables = sorted(table for table in tables if not table.name.startswith((".", "cache-")))
    for table in tables:
        # train-00000-of-00002.parquet, or a folder called like a split
        path = table.relative_to(source.root.parent).as_posix().lower()
        words = re.findall("[a-z]+", path.partition("/")[2])
        split = next((_SPLITS[word] for word in reversed(words) if word in _SPLITS), "train")
        scales = re.findall(r"(?<![^/_-])x(\d)(?=[/_.-])", path)[-1:] or options.scales
        for row, cells in enumerate(_rows(table)):
            for column, cell in cells.items():
                if column.lower() in _GT:
                    _put(source.scratch / split / "HR", cell, table, row)
                elif column.lower() in _LQ and len(scales) > 1:
                    raise UserError(f"{table}: its path states no scale; name it by --scales 2.")
                elif column.lower() in _LQ:
                    _put(source.scratch / split / f"LR_bicubic/X{scales[0]}", cell, table, row)
    found = [set_plan(one) for one in find_sets(source.scratch)] if tables else []
    name = options.name or source.name
    for one in found:
        name = "DIV2K" if name.lower() == "div2k" else name
        one.name = f"{name}_{one.name}" if len(found) > 1 or name == "DIV2K" else name
    return found


def _rows(table: Path) -> Iterator[dict[str, Any]]:
    """A table's rows, a few in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if table.suffix == ".parquet":
            batches = pq.ParquetFile(table).iter_batches(64)
        else:
            batches = pa.ipc.open_stream(pa.memory_map(str(table)))
        for batch in batches:
            for start in range(0, len(batch), 64):
                yield from batch.slice(start, 64).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{table}: cannot be read as a table ({error}).") from None


def _put(folder: Path, cell: Any, table: Path, row: int) -> None:
    """Write the image of a cell, or link to it where it holds a path."""
    path = cell.get("path") if isinstance(cell, dict) else cell
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    target = folder / (Path(path).name if isinstance(path, str) else f"{row:06}.png")
    folder.mkdir(parents=True, exist_ok=True)
    if target.exists():  # the same ground truths come again with every scale
        return
    if isinstance(data, bytes):
        write_atomically(target, lambda opened: opened.write(data))
        time = table.stat().st_mtime_ns  # so that it counts as the same when written again
        os.utime(target, ns=(time, time))
    elif isinstance(path, str) and (table.parent / path).is_file():
        target.symlink_to(os.path.abspath(table.parent / path))
    else:
        text = f"{table}, row {row}: neither an image nor the path of one ({path})"
        raise UserError(f"{text}. Fetch the archives that hold the images, and prepare those.")
