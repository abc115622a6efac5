"""Several runs in one table: the same method's seeds as mean and deviation, methods as rows."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superres.errors import UserError
from superres.evaluation.statistics import Interval, mean_and_deviation, paired_difference
from superres.evaluation.tables import Entry, Table, entries_of, is_partial

Cell = tuple[str, str, int, str]
"""Method, set, scale, protocol."""

_CONVENTION = ("init", "scale", "scales", "rgb_mean", "rgb_std", "img_range")
"""Arguments of a network that may differ between its scales, or files of it."""


@dataclass(frozen=True)
class Run:
    """One results.json.

    Attributes:
        source: where it came from, for messages.
        record: see :class:`superres.evaluation.record.Record`.
        name: what to call its method instead of what it says.
    """

    source: str
    record: Mapping[str, Any]
    name: str | None = None

    @property
    def weights(self) -> str:
        """What tells two runs of one method apart."""
        checkpoint = self.record.get("checkpoint") or {}
        return str(checkpoint.get("sha256") or self.record.get("sr_dir") or self.source)

    @property
    def config(self) -> str:
        """The name of its config, without folder and suffix."""
        return re.split(r"[\\/]", str(self.record.get("config", "")))[-1].partition(".")[0]


def merge_runs(runs: Sequence[Run]) -> tuple[dict[str, Any], list[str]]:
    """One record of all runs, and what a reader should be warned of.

    Runs of one method with different weights are its seeds: their entry holds the mean of their
    scores, ``psnr_std`` and ``ssim_std`` (sample standard deviation) and ``runs``; its images
    hold each image's mean. The same weights tested twice count once.

    Raises:
        UserError: two runs mean different things by one protocol's name, or one method's scores
            of one cell differ though the weights are the same.
    """
    protocols: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    cells: dict[Cell, dict[str, tuple[Entry, str]]] = {}
    baselines: set[str] = set()
    names = _names(runs)
    warnings = _disagreements(runs, names)
    for run, name in zip(runs, names):
        metrics |= run.record.get("metrics") or {}
        for key, protocol in run.record["protocols"].items():
            if _rules(protocols.setdefault(key, protocol)) != _rules(protocol):
                raise UserError(f"{run.source}: its protocol {key!r} is not that of the others")
        for entry in run.record.get("baselines", ()):
            baselines.add(entry["method"])
            if told := _keep(cells, entry, entry["method"], "", run.source):
                warnings.append(told)
        for entry in run.record["results"]:
            if told := _keep(cells, entry, name or entry["method"], run.weights, run.source):
                raise UserError(
                    f"{told}, though the weights are the same; name them apart, NAME=PATH"
                )
    entries = []
    for (method, *_), found in cells.items():
        merged, more = _mean([entry for entry, _ in found.values()], method, [*metrics])
        entries.append(merged)
        warnings += more
    return {
        "protocols": protocols,
        **({"metrics": metrics} if metrics else {}),
        "baselines": [e for e in entries if e["method"] in baselines],
        "results": [e for e in entries if e["method"] not in baselines],
    }, warnings


def _names(runs: Sequence[Run]) -> list[str | None]:
    """A name per run: as given; else its config's where one method's name stands for several."""
    configs: dict[str, set[str]] = {}
    for run in runs:
        for entry in run.record["results"]:
            # One method has a config per scale.
            stem = re.sub(r"_x\d+(?=[a-z_])", "_x", run.config)
            configs.setdefault(entry["method"], set()).add(stem)
    names = []
    for run in runs:
        several = [e["method"] for e in run.record["results"] if len(configs[e["method"]]) > 1]
        own = run.config + "+" * several[0].endswith("+") if several else None
        names.append(run.name or own)
    return names


def _rules(protocol: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in protocol.items() if k not in ("line", "description", "source")}


def _keep(
    cells: dict[Cell, dict[str, tuple[Entry, str]]],
    entry: Entry,
    method: str,
    weights: str,
    source: str,
) -> str | None:
    """Keep an entry, the first one of the same weights; tells of a second one that differs."""
    cell = method, entry["set"], entry["scale"], entry["protocol"]
    before, where = cells.setdefault(cell, {}).setdefault(weights, (entry, source))
    scores = [e["psnr"] if e["psnr"] is not None else math.nan for e in (entry, before)]
    # Equal but for rounding on another machine.
    if all(
        before[key] == entry[key]
        or (None not in (before[key], entry[key]) and abs(before[key] - entry[key]) < limit)
        for key, limit in (("psnr", 5e-4), ("ssim", 5e-6))
    ):
        return None
    return (
        f"{source} and {where}: {method} on {cell[1]} x{cell[2]} by {cell[3]} scores "
        f"{scores[0]:.4f} and {scores[1]:.4f}: other low-quality pictures, other tiles, or images "
        "missing"
    )


def _disagreements(runs: Sequence[Run], names: Sequence[str | None]) -> list[str]:
    """Where rows are not of the same low-quality pictures, or averaged runs are not seeds of one
    training: other iterations, sets or networks."""
    found: dict[tuple[str, str], dict[str, str]] = {}  # (subject, what) -> value -> source
    for run, name in zip(runs, names):
        facts: dict[tuple[str, str], Any] = {}
        for line in run.record.get("sets", ()):
            digest = (line.get("lq_fingerprint") or {}).get("sha256")
            facts[f"{line['set']} x{line['scale']}", "pictures"] = digest
        network = sorted((run.record.get("network") or {}).items())
        told = ", ".join(f"{k}={v}" for k, v in network if k not in _CONVENTION)
        for method in {name or entry["method"] for entry in run.record["results"]}:
            facts[method, "iterations"] = run.record.get("iter")
            facts[method, "training sets"] = run.record.get("train_set")
            facts[method, "networks"] = told
        for key, value in facts.items():
            if value not in (None, ""):
                found.setdefault(key, {}).setdefault(str(value), run.source)
    warnings = []
    for (subject, what), values in found.items():
        if len(values) > 1 and what == "pictures":
            warnings.append(
                f"{subject}: the low-quality pictures of {' and '.join(values.values())} differ; "
                "the rows cannot be compared"
            )
        elif len(values) > 1:
            warnings.append(
                f"{subject}: runs of {what} {' and '.join(sorted(values))} are averaged as if they "
                "were seeds; name them apart, NAME=PATH"
            )
    return warnings


def _mean(
    entries: Sequence[Entry], method: str, metrics: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """The entry of one cell from those of all seeds, and what to warn of."""
    first = {**entries[0], "method": method}
    if len(entries) == 1:
        return first, []
    where = f"{method}, {first['set']} x{first['scale']} by {first['protocol']}"
    scored = [entry for entry in entries if entry["psnr"] is not None]
    warnings = []
    if len(scored) < len(entries):
        warnings.append(f"{where}: {len(entries) - len(scored)} of {len(entries)} runs have none")
    if len({tuple(image["name"] for image in entry["images"]) for entry in scored}) > 1:
        warnings.append(f"{where}: the runs were scored on different images")
    if not scored:
        return first, warnings
    first = {key: value for key, value in first.items() if key not in metrics}
    keys = [k for k in ("psnr", "ssim", *metrics) if all(e.get(k) is not None for e in scored)]
    for key in keys:
        first[key], deviation = mean_and_deviation([entry[key] for entry in scored])
        if deviation is not None:
            first[f"{key}_std"] = deviation
    first["runs"] = len(scored)
    images: dict[str, list[Mapping[str, Any]]] = {}
    for entry in scored:
        for image in entry["images"]:
            images.setdefault(image["name"], []).append(image)
    first["images"] = [
        {"name": name, **{key: _mean_of_all(found, key, len(scored)) for key in keys}}
        for name, found in images.items()
    ]
    published = first.pop("published", None)
    if published and all(_source(entry) == _source(entries[0]) for entry in entries):
        partial = is_partial(first)
        difference = {
            k: None if published[k] is None or partial else first[k] - published[k]
            for k in ("psnr", "ssim")
        }
        first["published"] = {**published, "difference": difference}
    notes = dict.fromkeys(note for entry in entries for note in entry.get("notes", ()))
    return {**first, **({"notes": [*notes]} if notes else {})}, warnings


def _mean_of_all(images: Sequence[Mapping[str, Any]], key: str, runs: int) -> float | None:
    """An image's mean over all runs; None where one has none."""
    values = [image[key] for image in images if None not in (image["psnr"], image.get(key))]
    return mean_and_deviation(values)[0] if len(values) == runs else None


def _source(entry: Entry) -> Any:
    """Whose published score stands beside an entry; a mean has one that is beside all of it."""
    published = entry.get("published")
    return published and (published["method"], published["source"])


def compare(record: Mapping[str, Any], first: str, second: str) -> list[dict[str, Any]]:
    """The paired differences of two methods of a merged record, per set, scale and protocol.

    Returns:
        Dicts with ``set``, ``scale``, ``protocol``, ``psnr`` and ``ssim`` (each an
        :class:`Interval` or None where they share no image), for the cells that both have.

    Raises:
        UserError: a method that the record does not have.
    """
    cells = {(e["method"], e["set"], e["scale"], e["protocol"]): e for e in entries_of(record)}
    known = dict.fromkeys(method for method, *_ in cells)
    for name in (first, second):
        if name not in known:
            raise UserError(f"--compare: there is no method {name!r}, but {', '.join(known)}")
    found = []
    for (method, *cell), entry in cells.items():
        other = cells.get((second, *cell))
        if method == first and other is not None:
            line = dict(zip(("set", "scale", "protocol"), cell))
            for key in ("psnr", "ssim"):
                scores = [
                    {i["name"]: i[key] for i in e["images"] if i[key] is not None}
                    for e in (entry, other)
                ]
                line[key] = paired_difference(*scores)
            found.append(line)
    return found


def difference_table(lines: Sequence[Mapping[str, Any]], first: str, second: str) -> Table:
    """The table of :func:`compare`."""
    table = Table(
        ["set", "protocol", "images", "PSNR in dB", "95 % interval", "SSIM", "95 % interval"],
        [],
        groups=[1, 1, 2, 2],
        title=f"{first} - {second}",
    )
    for line in lines:
        count = str(line["psnr"].count) if line["psnr"] else "0"
        cells = [*_interval(line["psnr"], 3), *_interval(line["ssim"], 5)]
        table.rows.append([f"{line['set']} x{line['scale']}", line["protocol"], count, *cells])
    table.notes = [
        f"{first} less {second}, image by image: the mean difference, and Student's 95 % "
        "confidence interval of it over the images (mean ± t * s / sqrt(n)). An interval without 0 "
        "in it is no chance of the images; it says nothing of other seeds."
    ]
    return table


def _interval(interval: Interval | None, digits: int) -> list[str]:
    if interval is None:
        return ["-", "-"]
    mean = f"{interval.mean:+.{digits}f}"
    if interval.low is None:
        return [mean, "-"]
    return [mean, f"[{interval.low:+.{digits}f}, {interval.high:+.{digits}f}]"]
