"""The report of a folder that a test wrote: its pictures, found again where they lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from superres.checkpoints.formats.base import is_plain
from superres.engine.config.types import blame, walk_types
from superres.errors import UserError
from superres.evaluation.curves import read_curves
from superres.evaluation.embedding import MAX_PICTURES, Shot, chosen
from superres.evaluation.pairing import pair_by_name
from superres.evaluation.report import render_report
from superres.evaluation.results import read_results
from superres.files import write_text
from superres.imaging.io import read_image
from superres.imaging.listing import list_images
from superres.registry import TRANSFORMS, registered

from .evaluate import digest
from .scored_dataset import ScoredDataset

# What a test notes of how its low-quality pictures came about; nothing else is taken from a file.
_OPTIONS = ("make_lq", "border", "channels", "dtype", "seed")
Reader = Callable[[], Shot]


def write_report(folder: Path, warn: Callable[[str], None]) -> Path:
    """Write ``report.html`` from a folder's ``results.json`` and ``images``.

    Args:
        folder: what ``superres test --out`` or ``superres score --out`` wrote.
        warn: told of pictures that are not found any more; the report is then without them.

    Raises:
        UserError: there is no ``results.json``, or it is something else.
    """
    record = read_results(folder)
    readers = _of_folders(record, warn) if record.get("sr_dir") else _of_sets(record, folder, warn)
    numbers = chosen(len(readers))
    note = ""
    if len(numbers) < len(readers):
        note = f"{MAX_PICTURES} of {len(readers)} pictures are in this report."
    elif not readers:
        warn("the report shows no pictures: there are none in its folder (see --save-images)")
    path = folder / "report.html"
    shots = _read([readers[number] for number in numbers], warn)
    write_text(path, render_report(record, shots, len(numbers), _curves(record), note))
    return path


def _read(readers: list[Reader], warn: Callable[[str], None]) -> Iterator[Shot]:
    for reader in readers:
        try:
            shot = reader()
        except UserError as error:
            warn(f"left out of the report: {error}")
        else:
            yield shot


def _of_sets(record: dict[str, Any], folder: Path, warn: Callable[[str], None]) -> list[Reader]:
    """The images of a test whose results were saved."""
    readers: list[Reader] = []
    told = record.get("eval_dataset") or {}
    options = {key: told[key] for key in _OPTIONS if key in told}
    for line in record.get("sets", ()):
        if "error" in line:
            continue
        where = {key: line.get(key) for key in ("gt", "lq", "scale")}
        try:
            results = _results_folder(folder, line)
            if not os.path.isdir(results):
                continue
            _check_degradation(options.get("make_lq"))
            with blame("eval_dataset", {"type": "in results.json"}):
                dataset = ScoredDataset(**options, **where, name=line["set"], round_up=True)
        except UserError as error:
            warn(f"{line['set']} x{line['scale']} is left out of the report: {error}")
            continue
        digests = _digests(record, line)
        for index in range(len(dataset)):
            name = dataset.gt.name_at(index)
            path = results / f"{name}.png"
            if path.is_file() and index not in dataset.faults:
                readers.append(_of_set(dataset, index, path, digests.get(name)))
    return readers


def _results_folder(folder: Path, line: dict[str, Any]) -> Path:
    """Where a set's results were saved, which is below the report's folder."""
    results = folder / "images" / line["set"] / f"x{line['scale']}"
    parts = Path(line["set"]).parts
    if ".." in parts or "\0" in line["set"] or Path(line["set"]).is_absolute():
        raise UserError(f"the name of the set, {line['set']!r}, leads out of {folder}")
    return results


def _check_degradation(make_lq: Any) -> None:
    """A results.json is data: what it names is looked up among the transforms, never imported.

    Raises:
        UserError: something else is named.
    """
    if not is_plain(make_lq):
        raise UserError("its make_lq is nested too deeply")
    for _, node in walk_types(make_lq):
        if registered(TRANSFORMS, node["type"]) is None:
            raise UserError(f"make_lq: {str(node['type'])[:80]!r} is the name of no transform here")


def _digests(record: dict[str, Any], line: dict[str, Any]) -> dict[str, str]:
    """The SHA-256 of a set's results by image, as far as the test noted them."""
    where = line["set"], line["scale"]
    images = [
        image
        for entry in record["results"]
        if (entry["set"], entry["scale"]) == where
        for image in entry["images"]
    ]
    return {image["name"]: image["sr_sha256"] for image in images if "sr_sha256" in image}


def _of_set(dataset: ScoredDataset, index: int, path: Path, expected: str | None) -> Reader:
    def read() -> Shot:
        lq, gt = dataset.load(index)
        sr = read_image(path, channels="unchanged", dtype="keep")
        if digest(sr if sr.ndim == 3 else sr[..., None]) != expected:
            raise UserError(f"{path} is of another test than the scores of results.json")
        name = dataset.gt.name_at(index)
        return Shot(dataset.name, dataset.scale, name, np.asarray(lq), sr, np.asarray(gt))

    return read


def _of_folders(record: dict[str, Any], warn: Callable[[str], None]) -> list[Reader]:
    """The images that ``superres score`` was given; there is no LR."""
    entry = record["results"][0]
    if not record.get("hr_dir"):
        warn("the report shows no pictures: its results.json does not name hr_dir")
        return []
    try:
        pictures = [list_images(Path(record[key])) for key in ("sr_dir", "hr_dir")]
        pairs = pair_by_name(*pictures, entry["scale"]).pairs
    except UserError as error:
        warn(f"the report shows no pictures: {error}")
        return []
    scored = {image["name"] for image in entry["images"] if image["psnr"] is not None}

    def reader(name: str, sr: Path, hr: Path) -> Reader:
        return lambda: Shot(
            entry["set"], entry["scale"], name, None, read_image(sr), read_image(hr)
        )

    return [reader(*pair) for pair in pairs if pair[0] in scored]


def _curves(record: dict[str, Any]) -> dict[str, Any]:
    """Those of the work dir that the checkpoint lies in, if it is one."""
    checkpoint = record.get("checkpoint") or {}
    log = Path(checkpoint.get("path", "")).parent / "log.jsonl"
    if not checkpoint or not log.is_file():
        return {}
    try:
        return read_curves(log)
    except OSError:
        return {}
