"""Results of an evaluation: the record and the file ``results.json``.

Shared by ``superres test`` and ``superres score``. A record is plain data (see
``results_record``), so that tables and reports can be made again from the file alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import math
import os
import platform
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superres import __version__
from superres.errors import UserError
from superres.evaluation.record import SCHEMA, entries_of, fault_of, without_folders
from superres.evaluation.render import csv_text, latex, markdown
from superres.evaluation.tables import all_tables
from superres.files import is_special, os_fault, write_text

_LIBRARIES = ("numpy", "opencv-python", "opencv-python-headless", "torch", "mmengine")


@dataclass
class EvalResults:
    """Scores in the form of results.json: one entry per set and protocol, the mean over images.

    See :func:`set_result` for an entry. ``lq_sha256`` holds, by the
    sets' keys, a digest of all low-quality images as they were fed to the method; ``metrics``
    the names of those beside PSNR and SSIM.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    lq_sha256: dict[str, str] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)

    def scalars(self) -> dict[str, float]:
        """``{'Set5/psnr': ...}`` of each set's main protocol, ``'Set5/psnr@NAME'`` of the others;
        ``'Set5_x3/psnr'`` where the entries are of several scales."""
        several = len({entry["scale"] for entry in self.entries}) > 1
        found: dict[str, float] = {}
        for entry in self.entries:
            key = f"{entry['set']}_x{entry['scale']}" if several else entry["set"]
            behind = f"@{entry['protocol']}" if f"{key}/psnr" in found else ""
            for metric in ("psnr", "ssim", *self.metrics):
                if entry.get(metric) is not None:
                    found[f"{key}/{metric}{behind}"] = entry[metric]
        return found


def set_result(
    set_name: str,
    scale: int,
    protocol: str,
    images: Sequence[Mapping[str, Any]],
    method: str,
    notes: Iterable[str] = (),
    metrics: Sequence[str] = (),
) -> dict[str, Any]:
    """One cell of a table: a method on a set at a scale by a protocol.

    Args:
        set_name, scale, protocol: what the cell is; the protocol by its name.
        images: per image a dict of ``name``, ``psnr``, ``ssim`` and whatever else is known
            (time, memory). An image that could not be scored has None for both and an ``error``.
            Their ``notes`` go to the cell, each sentence once, with how many images it is of.
        method: the table's row.
        notes: what a reader should know beside that.
        metrics: names of further scores that images have (``extra_metrics``); one that could not
            be had is None, and stands in the image's ``metric_errors``.

    Returns:
        The same, with ``psnr`` and ``ssim`` as the means over the scored images: None without any,
        ``inf`` if any image is identical to its HR.
    """
    of = len(images)
    notes_of_images = Counter(note for image in images for note in image.get("notes", ()))
    messages = [
        note if n == of else f"{note} ({n} of {of} images)" for note, n in notes_of_images.items()
    ]
    messages += notes
    if same := [str(image["name"]) for image in images if image["psnr"] == math.inf]:
        messages.append(f"identical to HR, which makes the mean infinite: {', '.join(same)}")
    if failed := [str(image["name"]) for image in images if image["psnr"] is None]:
        messages.append(f"{len(failed)} of {of} images not scored: {', '.join(failed)}")
    messages += lacking_metrics(images, metrics)
    return {
        "method": method,
        "set": set_name,
        "scale": scale,
        "protocol": protocol,
        **{metric: _mean_of(images, metric) for metric in ("psnr", "ssim", *metrics)},
        "images": [{k: v for k, v in image.items() if k != "notes"} for image in images],
        **({"notes": messages} if messages else {}),
    }


def _mean_of(images: Iterable[Mapping[str, Any]], key: str) -> float | None:
    """Over the images that were scored and have this score; None where none has."""
    known = [i[key] for i in images if i["psnr"] is not None and i.get(key) is not None]
    return math.fsum(known) / len(known) if known else None


def lacking_metrics(images: Sequence[Mapping[str, Any]], metrics: Iterable[str]) -> list[str]:
    """Which scored images have not all of the metrics, in a sentence per metric, and why."""
    messages = []
    for metric in metrics:
        lacking = [i for i in images if i["psnr"] is not None and i.get(metric) is None]
        if lacking:
            names = ", ".join(str(image["name"]) for image in lacking)
            why = lacking[0].get("metric_errors", {}).get(metric)
            text = f"{len(lacking)} of {len(images)} images have no {metric}: {names}"
            messages.append(f"{text} ({why})" if why else text)
    return messages


def results_record(
    results: Sequence[Mapping[str, Any]],
    protocols: Iterable[Any],
    checkpoint: Mapping[str, str] | None = None,
    metrics: Mapping[str, Any] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """The whole record of a run.

    Args:
        results: from :func:`set_result`.
        protocols: every :class:`.Protocol` that the results name; their records are stored.
        checkpoint: ``{'path': ..., 'sha256': ...}``, or None where there was none.
        metrics: what the results' further metrics are, see ``ExtraMetrics.described``.
        extra: further top-level entries (device, LR fingerprint, parameters, ...).
    """
    return {
        "schema": SCHEMA,
        "checkpoint": checkpoint,
        "results": [*results],
        "protocols": {p.name: {**dataclasses.asdict(p), "line": p.line()} for p in protocols},
        "versions": versions(*_LIBRARIES),
        **({"metrics": metrics} if metrics else {}),
        **extra,
    }


def require_folder(folder: Path) -> None:
    """Make a folder for results, and see that files can be written there.

    Raises:
        UserError: it is a file, or cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        text = f"{folder}: nothing can be written there ({error.strerror})"
        raise UserError(f"{text}; give a folder, for results.json and tables") from None


def write_results(folder: Path, record: Mapping[str, Any]) -> list[Path]:
    """Write ``results.json`` and, as tables, ``results.md``, ``results.csv`` and ``results.tex``.

    Tables are passed on: absolute paths, which only ``results.json`` needs, are shortened there.

    JSON knows no infinity: an infinite or NaN number becomes null, and the object that holds it
    gets ``"<key>_note": "inf"`` (or ``"nan"``). All other numbers are unrounded.

    Returns:
        The files' paths, ``results.json`` first.

    Raises:
        UserError: the folder cannot be made or written, or the disk is full.
    """
    require_folder(folder)
    public = without_folders(record)
    tables = all_tables(public)
    texts = {
        "results.json": as_json(record),
        "results.md": markdown(tables),
        "results.csv": csv_text(entries_of(public), record.get("metrics") or ()),
        "results.tex": latex(tables),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def as_json(record: Mapping[str, Any]) -> str:
    """The text of a record's file; see :func:`write_results`."""
    text = json.dumps(record, indent=2, default=lambda number: number.item())  # numpy's

    # A line of its own for each key, so nothing inside a text is taken for a number.
    endless = re.compile(r'^( *".+)": (-?Infinity|NaN)(,?)$', re.MULTILINE)
    text = endless.sub(lambda m: f'{m[1]}": null,\n{m[1]}_note": "{float(m[2])}"{m[3]}', text)
    return text + "\n"


def _with_infinities(found: dict[str, Any]) -> dict[str, Any]:
    """An object of a file as it was before :func:`as_json`."""
    for key in [key for key, value in found.items() if value is None]:
        if found.get(f"{key}_note") in ("inf", "-inf", "nan"):
            found[key] = float(found.pop(f"{key}_note"))
    return found


def read_results(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a record back; ``path`` is the file or the folder that holds ``results.json``.

    Raises:
        UserError: no such file, no JSON, or JSON of something else; names the file.
    """
    path = Path(path)
    path = path / "results.json" if path.is_dir() else path
    if is_special(path):  # which may never end
        raise UserError(f"{path}: it is a device or a pipe, no file")
    try:
        text = path.read_text(encoding="utf-8")
        record = json.loads(text, object_hook=_with_infinities)
    except OSError as error:
        raise UserError(
            f"{os_fault(path, error, 'file')} Give the results.json (or its folder) that "
            "`superres test --out` or `superres score --out` wrote"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: not valid JSON, or a truncated file ({error}); run the test again"
        ) from None
    if fault := fault_of(record):
        raise UserError(
            f"{path}: not a results.json written by 'superres test' or 'superres score': {fault}"
        )
    return record


def versions(*libraries: str) -> dict[str, str]:
    """Of Python, superres and those libraries that are installed, without importing them."""
    found = {"python": platform.python_version(), "superres": __version__}
    for name in libraries:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
