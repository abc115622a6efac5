"""A local Hugging Face data set (parquet, or save_to_disk), such as eugenesiow/Div2k.

Columns ``hr`` and ``lr`` (or ``gt``/``lq``, or only ``image``), each an image or the path of one.
The scale is that of the folder or file (``bicubic_x2``), else --scales must name just one. Every
split becomes a set. Reading needs the package pyarrow only.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from superres.datasets.prepare.plan import Options, SetPlan, add
from superres.datasets.prepare.recipes.folder import set_name
from superres.datasets.prepare.source import Entry, Source
from superres.errors import UserError
from superres.files import write_atomically

_GT, _LQ = ("hr", "gt", "image", "img", "high_resolution"), ("lr", "lq", "low_resolution")
_SPLITS = {"train": "train", "validation": "valid", "valid": "valid", "test": "test"}


def plan(source: Source, options: Options) -> list[SetPlan]:
    """A set for each split: ``NAME_train``, ``NAME_valid``, or ``NAME`` where there is only one."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UserError(
            "prepare hf needs the package pyarrow, which is not installed: pip install pyarrow"
        ) from None
    root = source.root
    found = [root] if root.is_file() else [*root.rglob("*.parquet"), *root.rglob("*.arrow")]
    files = [p for p in sorted(found) if not p.name.startswith((".", "cache-"))]
    if not files:
        raise UserError(
            f"{root}: no parquet or arrow files here or below it. Give the folder of a "
            "data set that was downloaded with huggingface_hub or written by save_to_disk."
        )
    name = options.name or set_name(source)
    splits: dict[str, SetPlan] = {}
    for file in files:
        split = _split(file, root)
        _take(file, splits.setdefault(split, SetPlan("", {})), source, options)
    for split, found in splits.items():
        found.name = name if len(splits) == 1 else f"{name}_{split}"
        if name.lower() == "div2k" and split in ("train", "valid"):
            found.name = f"DIV2K_{split}"
    return list(splits.values())


def _split(file: Path, root: Path) -> str:
    """``train-00000-of-00002.parquet``, or a folder called like a split."""
    folders = file.relative_to(root).parts[:-1] if root.is_dir() else ()
    for part in (file.name, *reversed(folders)):
        word = re.match(r"[a-z]+", part.lower())
        if word and word[0] in _SPLITS:
            return _SPLITS[word[0]]
    return "train"


def _take(file: Path, plan: SetPlan, source: Source, options: Options) -> None:
    """Add the pictures of one table to a split's plan; those that it holds are written as files."""
    scale = None
    scratch = source.scratch.folder / hashlib.sha256(os.fsencode(file)).hexdigest()[:16]
    for row, cells in enumerate(_rows(file)):
        gt, lq = (next((c for c in cells if c.lower() in side), None) for side in (_GT, _LQ))
        if gt is None:
            raise UserError(
                f"{file}: none of its columns ({', '.join(cells)}) is called {', '.join(_GT)}."
            )
        if lq and scale is None:
            scale = _scale(file, source.root, options)
        entry = _entry(file, row, gt, cells[gt], source, scratch)
        name = re.sub(r"x\d+$", "", entry.stem)
        # The same ground truths come again with every scale's low-quality pictures.
        add(plan.gt, name, entry)
        if lq and scale in options.scales:
            low = _entry(file, row, lq, cells[lq], source, scratch)
            add(plan.lq.setdefault(("bicubic", scale), {}), name, low)


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """A table's rows, a few in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if file.suffix == ".parquet":
            batches = pq.ParquetFile(file).iter_batches(64)
        else:
            source = pa.memory_map(str(file))
            try:  # as save_to_disk writes them
                batches = pa.ipc.open_stream(source)
            except pa.ArrowInvalid:
                opened = pa.ipc.open_file(source)
                batches = (opened.get_batch(i) for i in range(opened.num_record_batches))
        for batch in batches:
            for start in range(0, len(batch), 64):
                yield from batch.slice(start, 64).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{file}: cannot be read as a table ({error}).") from None


def _entry(file: Path, row: int, column: str, cell: Any, source: Source, scratch: Path) -> Entry:
    path = cell.get("path") if isinstance(cell, dict) else cell
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(data, bytes):
        name = Path(path).name if isinstance(path, str) else f"{row:06}.png"
        target = scratch / column / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, lambda opened: opened.write(data))
        time = file.stat().st_mtime_ns  # so that it counts as the same when written again
        os.utime(target, ns=(time, time))
        return Entry(name, target)
    if not isinstance(path, str):
        raise UserError(f"{file}, column {column}, row {row}: neither a picture nor a path.")
    root = source.root if source.root.is_dir() else source.root.parent
    for candidate in (Path(path), root / path, file.parent / path, root / Path(path).name):
        if candidate.is_file():
            return Entry(path, candidate)
    raise UserError(
        f"{file}, column {column}, row {row}: names the file {path}, which is not there. The "
        "pictures of such a data set lie in archives of their own: fetch those and prepare them "
        "with div2k, benchmark or folder."
    )


def _scale(file: Path, root: Path, options: Options) -> int:
    folders = file.relative_to(root).parts if root.is_dir() else (file.name,)
    for part in reversed((root.name, *folders)):
        if match := re.search(r"(?:^|[_-])x(\d)(?:[_.-]|$)", part.lower()):
            return int(match[1])
    if len(options.scales) == 1:
        return options.scales[0]
    raise UserError(
        f"{file}: nothing in its path says which scale its low-quality pictures have; name it by "
        "--scales 2."
    )
