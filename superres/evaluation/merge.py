"""Several runs in one table: the same method's seeds as mean and deviation, methods as rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superres.errors import UserError
from superres.evaluation.statistics import Interval, mean_and_deviation, paired_difference
from superres.evaluation.tables import Entry, Table, is_partial

Cell = tuple[str, str, int, str]
"""Method, set, scale, protocol."""


_CONVENTION = ("init", "scale", "scales", "rgb_mean", "rgb_std", "img_range")
"""Arguments of a network that may differ between its scales, or files of it."""


@dataclass(frozen=True)
class Run:
    """One results.json.

    Attributes:
        source: where it came from, for messages.
        record: see :func:`superres.evaluation.results.results_record`.
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
    cells: dict[Cell, dict[str, tuple[Entry, str]]] = {}
    baselines: set[str] = set()
    names = _names(runs)
    warnings = [*_different_pictures(runs), *_no_seeds(runs, names)]
    metrics: dict[str, Any] = {}
    for run, own in zip(runs, names):
        metrics.update(run.record.get("metrics") or {})
        for name, protocol in run.record["protocols"].items():
            if _rules(protocols.setdefault(name, protocol)) != _rules(protocol):
                raise UserError(f"{run.source}: its protocol {name!r} is not that of the others")
        for entry in run.record.get("baselines", ()):
            baselines.add(entry["method"])
            told = _add(cells, entry, entry["method"], "", run.source)
            if told:
                warnings.append(told)
        for entry in run.record["results"]:
            told = _add(cells, entry, own or entry["method"], run.weights, run.source)
            if told:
                raise UserError(
                    f"{told}, though the weights are the same; name them apart, NAME=PATH"
                )
    entries = []
    for (method, *_), found in cells.items():
        merged, warning = _mean([entry for entry, _ in found.values()], method, [*metrics])
        entries.append(merged)
        warnings += warning
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
            configs.setdefault(entry["method"], set()).add(_stem(run))
    return [
        run.name
        or next(
            (
                _stem(run) + ("+" if entry["method"].endswith("+") else "")
                for entry in run.record["results"]
                if len(_without_scale(configs[entry["method"]])) > 1
            ),
            None,
        )
        for run in runs
    ]


def _stem(run: Run) -> str:
    return str(run.record.get("config", "")).replace("\\", "/").rpartition("/")[2].partition(".")[0]


def _without_scale(stems: Iterable[str]) -> set[str]:
    """Config names but for their scale: one method has a config per scale."""
    import re

    return {re.sub(r"_x\d+(?=[a-z_])", "_x", stem) for stem in stems}


def _rules(protocol: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in protocol.items() if k not in ("line", "description", "source")}


def _add(
    cells: dict[Cell, dict[str, tuple[Entry, str]]],
    entry: Entry,
    method: str,
    weights: str,
    source: str,
) -> str | None:
    """Keep an entry, the first one of the same weights; tells of a second one that differs."""
    key = (method, entry["set"], entry["scale"], entry["protocol"])
    found = cells.setdefault(key, {})
    before = found.setdefault(weights, (entry, source))
    if before[0] is entry or _same(before[0], entry):
        return None
    where = f"{entry['set']} x{entry['scale']} by {entry['protocol']}"
    return (
        f"{source} and {before[1]}: {method} on {where} scores {_psnr(entry)} and "
        f"{_psnr(before[0])}: other low-quality pictures, other tiles, or images missing"
    )


def _same(first: Entry, second: Entry) -> bool:
    """Equal but for rounding on another machine."""
    return all(
        (first[key] is None) == (second[key] is None)
        and (first[key] is None or abs(first[key] - second[key]) < limit)
        for key, limit in (("psnr", 5e-4), ("ssim", 5e-6))
    )


def _psnr(entry: Entry) -> str:
    return "-" if entry["psnr"] is None else f"{entry['psnr']:.4f}"


def _different_pictures(runs: Sequence[Run]) -> list[str]:
    """Sets whose low-quality pictures are not the same in all runs."""
    seen: dict[tuple[str, int], tuple[str, str]] = {}
    warnings = []
    for run in runs:
        for line in run.record.get("sets", ()):
            digest = (line.get("lq_fingerprint") or {}).get("sha256")
            key = (line["set"], line["scale"])
            if digest and seen.setdefault(key, (digest, run.source))[0] != digest:
                warnings.append(
                    f"{key[0]} x{key[1]}: the low-quality pictures of {run.source} are not those "
                    f"of {seen[key][1]}; the rows cannot be compared"
                )
    return warnings


def _no_seeds(runs: Sequence[Run], names: Sequence[str | None]) -> list[str]:
    """Methods whose runs are not seeds of one training: other iterations, sets or networks."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for run, own in zip(runs, names):
        record = run.record
        network = {k: v for k, v in (record.get("network") or {}).items() if k not in _CONVENTION}
        facts = {
            "iterations": record.get("iter"),
            "training sets": record.get("train_set"),
            "networks": ", ".join(f"{k}={v}" for k, v in sorted(network.items())) or None,
        }
        for method in {own or entry["method"] for entry in record["results"]}:
            for what, value in facts.items():
                if value is not None:
                    found.setdefault((method, what), {})[str(value)] = None
    return [
        f"{method}: runs of {what} {' and '.join(sorted(values))} are averaged as if they were "
        "seeds; name them apart, NAME=PATH"
        for (method, what), values in found.items()
        if len(values) > 1
    ]


def _mean(
    entries: Sequence[Entry], method: str, metrics: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """The entry of one cell from those of all seeds."""
    first = {**entries[0], "method": method}
    if len(entries) == 1:
        return first, []
    where = f"{method}, {first['set']} x{first['scale']} by {first['protocol']}"
    scored = [entry for entry in entries if entry["psnr"] is not None]
    warnings = []
    if len(scored) < len(entries):
        warnings.append(f"{where}: {len(entries) - len(scored)} of {len(entries)} runs have none")
    names = [tuple(image["name"] for image in entry["images"]) for entry in scored]
    if len(set(names)) > 1:
        warnings.append(f"{where}: the runs were scored on different images")
    if not scored:
        return first, warnings
    for key in ("psnr", "ssim", *metrics):
        values = [entry[key] for entry in scored if entry.get(key) is not None]
        if len(values) == len(scored):
            first[key], first[f"{key}_std"] = mean_and_deviation(values)
        else:
            first.pop(key, None)
    first["runs"] = len(scored)
    kept = [key for key in metrics if key in first]
    first["images"] = _mean_images(scored, ("psnr", "ssim", *kept))
    if first["psnr_std"] is None:
        del first["psnr_std"], first["ssim_std"]
    published = first.pop("published", None)
    if published and all(_source(entry) == _source(entries[0]) for entry in entries):
        difference = {
            k: None if published[k] is None or is_partial(first) else first[k] - published[k]
            for k in ("psnr", "ssim")
        }
        first["published"] = {**published, "difference": difference}
    notes = dict.fromkeys(note for entry in entries for note in entry.get("notes", ()))
    return {**first, **({"notes": [*notes]} if notes else {})}, warnings


def _source(entry: Entry) -> Any:
    """Whose published score stands beside an entry; a mean has one that is beside all of it."""
    published = entry.get("published")
    return published and (published["method"], published["source"])


def _mean_images(entries: Sequence[Entry], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Each image's mean over the runs; none where a run has none."""
    values: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        for image in entry["images"]:
            values.setdefault(image["name"], []).append(image)
    images = []
    for name, found in values.items():
        known = len(found) == len(entries) and all(i["psnr"] is not None for i in found)
        means = {
            key: math.fsum(i[key] for i in found) / len(found)
            if known and all(i.get(key) is not None for i in found)
            else None
            for key in keys
        }
        images.append({"name": name, **means})
    return images


def compare(record: Mapping[str, Any], first: str, second: str) -> list[dict[str, Any]]:
    """The paired differences of two methods of a merged record, per set, scale and protocol.

    Returns:
        Dicts with ``set``, ``scale``, ``protocol``, ``psnr`` and ``ssim`` (each an
        :class:`Interval` or None where they share no image), for the cells that both have.

    Raises:
        UserError: a method that the record does not have.
    """
    entries = [*record["baselines"], *record["results"]]
    known = list(dict.fromkeys(entry["method"] for entry in entries))
    for name in (first, second):
        if name not in known:
            raise UserError(f"--compare: there is no method {name!r}, but {', '.join(known)}")
    found = []
    cells = {(e["method"], e["set"], e["scale"], e["protocol"]): e for e in entries}
    for (method, *cell), entry in cells.items():
        other = cells.get((second, *cell))
        if method != first or other is None:
            continue
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
        psnr, ssim = line["psnr"], line["ssim"]
        count = str(psnr.count) if psnr else "0"
        cells = [*_interval(psnr, 3), *_interval(ssim, 5)]
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
