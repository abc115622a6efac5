"""A local Hugging Face data set (parquet, or save_to_disk), such as eugenesiow/Div2k.

Columns ``hr`` and ``lr`` (or ``gt``/``lq``, or only ``image``), each an image or the path of one.
The scale is that of the folder or file (``bicubic_x2``), else --scales must name just one. Every
split becomes a set. Reading needs the package pyarrow only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from superres.datasets.prepare.plan import Options, SetPlan, plan_of
from superres.datasets.prepare.source import Source
from superres.datasets.sets import find_sets
from superres.errors import UserError
from superres.files import write_atomically

_GT, _LQ = ("hr", "gt", "image", "img", "high_resolution"), ("lr", "lq", "low_resolution")
_SPLITS = {"train": "train", "validation": "valid", "valid": "valid", "test": "test"}


def plan(source: Source, options: Options) -> list[SetPlan]:
    """A set for each split: ``NAME_train``, ``NAME_valid``, or ``NAME`` where there is only one."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UserError("prepare hf needs the package pyarrow: pip install pyarrow") from None
    tables = [*source.root.rglob("*.parquet"), *source.root.rglob("*.arrow")]
    tables = sorted(table for table in tables if not table.name.startswith((".", "cache-")))
    for table in tables:
        # train-00000-of-00002.parquet, or a folder called like a split
        words = re.findall("[a-z]+", table.relative_to(source.root).as_posix().lower())
        split = next((_SPLITS[word] for word in reversed(words) if word in _SPLITS), "train")
        _extract(table, source, source.scratch / split, options)
    found = [plan_of(one) for one in find_sets(source.scratch)] if tables else []
    if not found:
        raise UserError(
            f"{source.root}: no parquet or arrow files with columns called {', '.join(_GT)} here "
            "or below it."
        )
    name = options.name or source.name
    for one in found:
        name = "DIV2K" if name.lower() == "div2k" else name
        one.name = f"{name}_{one.name}" if len(found) > 1 or name == "DIV2K" else name
    return found


def _extract(table: Path, source: Source, folder: Path, options: Options) -> None:
    """Write the images of one table to ``folder/HR`` and ``folder/LR_bicubic/X2``."""
    path = table.relative_to(source.root.parent).as_posix().lower()
    stated = re.findall(r"(?<![^/_-])x(\d)(?=[/_.-])", path)
    scales = stated[-1:] or list(options.scales)
    for row, cells in enumerate(_rows(table)):
        for column, cell in cells.items():
            if column.lower() in _GT:
                _put(folder / "HR", cell, table, row)
            elif column.lower() in _LQ and len(scales) == 1:
                _put(folder / f"LR_bicubic/X{scales[0]}", cell, table, row)
            elif column.lower() in _LQ:
                raise UserError(f"{table}: its path states no scale; name it by --scales 2.")


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
        raise UserError(
            f"{table}, row {row}: neither an image nor the path of one ({path}). Fetch the "
            "archives that hold the images, and prepare those."
        )
