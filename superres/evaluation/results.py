"""Results of an evaluation: the record, the file ``results.json``, the table on the terminal.

Shared by ``superres test`` and ``superres score``. A record is plain data (see
``results_record``), so that tables and reports can be made again from the file alone.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superres.imaging.io import write_atomically

if TYPE_CHECKING:
    from rich.console import Console

    from superres.evaluation.protocols import Protocol

SCHEMA = 1
_LIBRARIES = ("superres", "numpy", "opencv-python", "opencv-python-headless", "torch", "mmengine")


def set_result(
    set_name: str,
    scale: int,
    protocol: str,
    images: Sequence[Mapping[str, Any]],
    method: str,
    notes: Iterable[str] = (),
) -> dict[str, Any]:
    """One cell of a table: a method on a set at a scale by a protocol.

    Args:
        set_name, scale, protocol: what the cell is; the protocol by its name.
        images: per image a dict of ``name``, ``psnr``, ``ssim`` and whatever else is known
            (time, memory). An image that could not be scored has None for both and an ``error``.
        method: the table's row.
        notes: what a reader should know, such as images that are missing.

    Returns:
        The same, with ``psnr`` and ``ssim`` as the means over the scored images: None without any,
        ``inf`` if any picture is identical to its HR.
    """
    scored = [image for image in images if image["psnr"] is not None]
    failed = [str(image["name"]) for image in images if image["psnr"] is None]
    notes = [*notes]
    if failed:
        notes.append(f"{len(failed)} of {len(images)} images not scored: {', '.join(failed)}")

    def mean(key: str) -> float | None:
        return math.fsum(image[key] for image in scored) / len(scored) if scored else None

    return {
        "method": method,
        "set": set_name,
        "scale": scale,
        "protocol": protocol,
        "psnr": mean("psnr"),
        "ssim": mean("ssim"),
        "images": [dict(image) for image in images],
        **({"notes": notes} if notes else {}),
    }


def results_record(
    results: Sequence[Mapping[str, Any]],
    protocols: Iterable[Protocol],
    checkpoint: Mapping[str, str] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """The whole record of a run.

    Args:
        results: from :func:`set_result`.
        protocols: every protocol that the results name; their records are stored.
        checkpoint: ``{'path': ..., 'sha256': ...}``, or None where there was none.
        extra: further top-level entries (device, LR fingerprint, parameters, ...).
    """
    import dataclasses

    return {
        "schema": SCHEMA,
        "checkpoint": None if checkpoint is None else dict(checkpoint),
        "results": [dict(result) for result in results],
        "protocols": {p.name: {**dataclasses.asdict(p), "line": p.line()} for p in protocols},
        "versions": _versions(),
        **extra,
    }


def write_results(path: str | os.PathLike[str], record: Mapping[str, Any]) -> Path:
    """Write a record as JSON, atomically; ``path`` is the file or an existing or new folder.

    JSON knows no infinity: an infinite or NaN number becomes null, and the object that holds it
    gets ``"<key>_note": "inf"`` (or ``"nan"``). All other numbers are unrounded.

    Returns:
        The file's path (``results.json`` in a folder).

    Raises:
        UserError: the folder cannot be made or written, or the disk is full.
    """
    from superres.errors import UserError

    path = Path(path)
    if path.suffix != ".json":
        path = path / "results.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: the folder cannot be made ({error.strerror})") from None
    text = json.dumps(json_safe(record), indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))
    return path


def json_safe(value: Any) -> Any:
    """Plain data that JSON can hold; see :func:`write_results`."""
    if isinstance(value, Mapping):
        safe: dict[str, Any] = {}
        for key, item in value.items():
            safe[str(key)] = json_safe(item)
            if isinstance(item, float) and not math.isfinite(item):
                safe[f"{key}_note"] = str(float(item))
        return safe
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if hasattr(value, "item") else value


def print_table(record: Mapping[str, Any], console: Console) -> None:
    """Print one table per protocol: rows are methods, columns sets and scales, PSNR / SSIM.

    Beneath each stands what its protocol does, and what is missing from it.
    """
    results = record["results"]
    for protocol in dict.fromkeys(result["protocol"] for result in results):
        mine = [result for result in results if result["protocol"] == protocol]
        columns = list(dict.fromkeys((result["set"], result["scale"]) for result in mine))
        methods = list(dict.fromkeys(result["method"] for result in mine))
        cells = {(r["method"], r["set"], r["scale"]): format_cell(r) for r in mine}
        for part in _parts_that_fit(columns, methods, console.width):
            _print_part(part, methods, cells, console)
        line = record["protocols"][protocol]["line"]
        options = {"highlight": False, "markup": False, "soft_wrap": True}
        console.print(f"PSNR / SSIM by {line}", **options)
        for result in mine:
            for note in result.get("notes", ()):
                where = f"{result['method']}, {result['set']} x{result['scale']}"
                console.print(f"  {where}: {note}", **options)


_Column = tuple[str, int]  # set and scale


def _title(column: _Column) -> str:
    return f"{column[0]} x{column[1]}"


def _parts_that_fit(
    columns: list[_Column], methods: list[str], width: int
) -> Iterator[list[_Column]]:
    """Columns in groups narrow enough for the console, so that no number is ever cut off."""
    left = width - max(len("method"), *map(len, methods)) - 3
    part: list[_Column] = []
    used = 0
    for column in columns:
        needed = max(len(_title(column)), len("38.27 / 0.9614")) + 2
        if part and used + needed > left:
            yield part
            part, used = [], 0
        part.append(column)
        used += needed
    yield part


def _print_part(
    columns: list[_Column],
    methods: list[str],
    cells: Mapping[tuple[str, str, int], str],
    console: Console,
) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", overflow="fold")
    for column in columns:
        table.add_column(_title(column), justify="right", no_wrap=True)
    for method in methods:
        table.add_row(method, *(cells.get((method, *column), "") for column in columns))
    console.print(table, markup=False)


def format_cell(result: Mapping[str, Any]) -> str:
    """``38.27 / 0.9614``; ``-`` where nothing was scored."""
    if result["psnr"] is None:
        return "inf / 1.0000" if result.get("psnr_note") == "inf" else "-"
    return f"{result['psnr']:.2f} / {result['ssim']:.4f}"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if "superres" not in found:
        from superres import __version__

        found["superres"] = __version__
    return found
