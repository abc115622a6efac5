"""A local Hugging Face data set (parquet, or save_to_disk), such as eugenesiow/Div2k.

Columns ``hr`` and ``lr`` (or ``gt``/``lq``, or only ``image``), each an image or the path of one.
The scale is that of the folder or file (``bicubic_x2``), else --scales must name just one. Every
split becomes a set. Reading needs the package pyarrow only.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superres.datasets.prepare.entries import Entry, FileEntry
from superres.datasets.prepare.plan import Options, SetPlan, add
from superres.datasets.prepare.recipes.folder import set_name
from superres.datasets.prepare.source import Source
from superres.errors import UserError

_GT, _LQ = ("hr", "gt", "image", "img", "high_resolution"), ("lr", "lq", "low_resolution")
_SPLITS = {"train": "train", "validation": "valid", "valid": "valid", "test": "test"}


@dataclass(frozen=True)
class TableEntry(Entry):
    """A picture in a cell of a parquet or arrow file."""

    column: str
    group: int
    row: int

    @property
    def label(self) -> str:
        return f"{self.file}, column {self.column}, row {self.row} of group {self.group}"

    def stamp(self) -> bytes:
        status = self.file.stat()
        place = f"{self.column} {self.group} {self.row}".encode()
        return b"%d bytes, %d ns, %s" % (status.st_size, status.st_mtime_ns, place)

    def read(self, limit: int = -1) -> bytes:
        cell = _rows(self.file, self.group, self.column)[self.row].as_py()
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(data, bytes):
            raise UserError(f"{self.label}: holds no picture.")
        return data if limit < 0 else data[:limit]


def plan(source: Source, options: Options) -> list[SetPlan]:
    """A set for each split: ``NAME_train``, ``NAME_valid``, or ``NAME`` where there is only one."""
    _pyarrow()
    files = _tables(source.root)
    if not files:
        raise UserError(
            f"{source.root}: no parquet or arrow files here or below it. Give the folder of a "
            "data set that was downloaded with huggingface_hub or written by save_to_disk."
        )
    name = options.name or set_name(source)
    splits: dict[str, SetPlan] = {}
    for file in files:
        split = _split(file, source.root)
        splits.setdefault(split, SetPlan("", {}))
        _take(file, splits[split], source, options)
    plans = []
    for split, found in splits.items():
        found.name = name if len(splits) == 1 else f"{name}_{split}"
        if name.lower() == "div2k" and split in ("train", "valid"):
            found.name = f"DIV2K_{split}"
        plans.append(found)
    return plans


def _pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UserError(
            "prepare hf needs the package pyarrow, which is not installed: pip install pyarrow"
        ) from None


def _tables(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.suffix in (".parquet", ".arrow") else []
    found = [p for suffix in ("parquet", "arrow") for p in root.rglob(f"*.{suffix}")]
    return sorted(p for p in found if not p.name.startswith((".", "cache-")))


def _split(file: Path, root: Path) -> str:
    """``train-00000-of-00002.parquet``, or a folder called like a split."""
    folders = file.relative_to(root).parts[:-1] if root.is_dir() else ()
    for part in (file.name, *reversed(folders)):
        word = re.match(r"[a-z]+", part.lower())
        if word and word[0] in _SPLITS:
            return _SPLITS[word[0]]
    return "train"


def _take(file: Path, plan: SetPlan, source: Source, options: Options) -> None:
    """Add the pictures of one file to a split's plan."""
    columns = _columns(file)
    gt = next((c for c in columns if c.lower() in _GT), None)
    lq = next((c for c in columns if c.lower() in _LQ), None)
    if gt is None:
        raise UserError(
            f"{file}: none of its columns ({', '.join(columns)}) is called {', '.join(_GT)}."
        )
    scale = _scale(file, source.root, options) if lq else 0
    count = 0
    for group in range(_groups(file)):
        for entries in _cells(file, group, gt, lq, source):
            name = _name(entries[0], file, count)
            # The same ground truths come again with every scale's low-quality pictures.
            add(plan.gt, name, entries[0])
            if lq and scale in options.scales:
                add(plan.lq.setdefault(("bicubic", scale), {}), name, entries[1])
            count += 1


def _cells(
    file: Path, group: int, gt: str, lq: str | None, source: Source
) -> Iterator[tuple[Entry, ...]]:
    rows = len(_rows(file, group, gt))
    for row in range(rows):
        yield tuple(_entry(file, c, group, row, source) for c in (gt, lq) if c)


def _entry(file: Path, column: str, group: int, row: int, source: Source) -> Entry:
    cell = _rows(file, group, column)[row].as_py()
    path = cell.get("path") if isinstance(cell, dict) else cell
    held = isinstance(cell, bytes) or (isinstance(cell, dict) and cell.get("bytes"))
    if held:
        shown = Path(path).name if isinstance(path, str) else ""
        return TableEntry(shown or "", file, column, group, row)
    if not isinstance(path, str):
        raise UserError(f"{file}, column {column}, row {row}: neither a picture nor a path.")
    root = source.root if source.root.is_dir() else source.root.parent
    for candidate in (Path(path), root / path, file.parent / path, root / Path(path).name):
        if candidate.is_file():
            return FileEntry(path, candidate)
    raise UserError(
        f"{file}, column {column}, row {row}: names the file {path}, which is not there. The "
        "pictures of such a data set lie in archives of their own: fetch those and prepare them "
        "with div2k, benchmark or folder."
    )


def _name(entry: Entry, file: Path, count: int) -> str:
    return re.sub(r"x\d+$", "", entry.stem) if entry.path else f"{count:06}"


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


def _columns(file: Path) -> list[str]:
    opened = _open(file)
    return list(getattr(opened, "schema_arrow", opened.schema).names)


def _groups(file: Path) -> int:
    opened = _open(file)
    return opened.num_row_groups if hasattr(opened, "num_row_groups") else opened.groups


@functools.lru_cache(maxsize=4)
def _rows(file: Path, group: int, column: str) -> Any:
    """One column of one row group, which is what is read at a time."""
    opened = _open(file)
    if hasattr(opened, "num_row_groups"):
        return opened.read_row_group(group, columns=[column]).column(column)
    return opened.batches[group].column(column)


class _Arrow:
    """An arrow file of save_to_disk, on a memory map."""

    def __init__(self, file: Path) -> None:
        import pyarrow as pa

        source = pa.memory_map(str(file))
        try:
            reader = pa.ipc.open_stream(source)
            self.batches = list(reader)
        except pa.ArrowInvalid:
            reader = pa.ipc.open_file(source)
            self.batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        self.schema, self.groups = reader.schema, len(self.batches)


@functools.lru_cache(maxsize=8)
def _open(file: Path) -> Any:
    import pyarrow as pa

    try:
        if file.suffix == ".arrow":
            return _Arrow(file)
        import pyarrow.parquet as pq

        return pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{file}: cannot be read as a table ({error}).") from None
