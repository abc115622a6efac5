"""Several runs in one table: the same method's seeds as mean and deviation, methods as rows."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superres.errors import UserError
from superres.evaluation.published import difference, is_published_name
from superres.evaluation.statistics import Interval, mean_and_deviation, paired_difference
from superres.evaluation.tables import Entry, Table, entries_of

_COMMON = {"iterations": "iter", "training sets": "train_set"}
"""What seeds of one training have in common, and what results.json calls it."""
_SAME = {"psnr": 5e-4, "ssim": 5e-6}
"""By less than this scores differ that are equal but for rounding on another machine."""


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
    # A method on a set at a scale by a protocol, or a baseline on it: by weights.
    cells: dict[tuple[bool, str, str, int, str], dict[str, tuple[Entry, str]]] = defaultdict(dict)
    facts: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    configs: dict[str, set[str]] = defaultdict(set)  # one method has a config per scale
    for run in runs:
        for entry in run.record["results"]:
            configs[entry["method"]].add(re.sub(r"_x\d+(?=[a-z_])", "_x", run.config))
    warnings = []
    for run in runs:
        metrics |= run.record.get("metrics") or {}
        for key, protocol in run.record["protocols"].items():
            if _rules(protocols.setdefault(key, protocol)) != _rules(protocol):
                raise UserError(f"{run.source}: its protocol {key!r} is not that of the others")
        for line in run.record.get("sets", ()):
            digest = (line.get("lq_fingerprint") or {}).get("sha256")
            if digest:
                where = f"{line['set']} x{line['scale']}", "pictures"
                facts[where].setdefault(str(digest), run.source)
        baselines = len(run.record.get("baselines", ()))
        for number, entry in enumerate(entries_of(run.record)):
            method, own = entry["method"], number >= baselines
            if own:  # where the method's name stands for several configs, their names
                apart = run.config + "+" * method.endswith("+")
                method = run.name or (apart if len(configs[method]) > 1 else method)
                entry = _renamed(entry, method, run.record)
                for what, key in _COMMON.items():
                    if value := run.record.get(key):
                        facts[method, what][str(value)] = run.source
            cell = cells[own, method, entry["set"], entry["scale"], entry["protocol"]]
            same = cell.setdefault(run.weights if own else "", (entry, run.source))
            if told := _differing(method, same, entry, run.source):
                if own:
                    raise UserError(
                        f"{told}, though the weights are the same; name them apart, NAME=PATH"
                    )
                warnings.append(told)
    merged: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    warnings = [*_disagreements(facts), *warnings]
    for (own, method, *_), found in cells.items():
        entry, more = _mean([entry for entry, _ in found.values()], method, [*metrics])
        merged[own].append(entry)
        warnings += more
    kept = {"protocols": protocols, **({"metrics": metrics} if metrics else {})}
    return {**kept, "baselines": merged[False], "results": merged[True]}, warnings


def _renamed(entry: Entry, method: str, record: Mapping[str, Any]) -> Entry:
    """The entry, with a note where a publication's name is new to it and its record does not say
    that it is that publication's."""
    stated = record.get("published_network"), entry.get("published")
    known = {entry["method"], *((of or {}).get("method") for of in stated)}
    notes = entry.get("notes", ())
    if (
        not is_published_name(method)
        or known & {method, method.removesuffix("+")}
        or any(note.startswith(f"results of {method} ") for note in notes)
    ):
        return entry
    note = f"called so here, {entry['method']} in its results.json: not known to be the published"
    return {**entry, "notes": [*notes, f"{note} network"]}


def _rules(protocol: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in protocol.items() if k not in ("line", "description", "source")}


def _differing(method: str, first: tuple[Entry, str], entry: Entry, source: str) -> str:
    """What to say where two runs score the same weights differently."""
    before, where = first
    pairs = {key: (entry[key], before[key]) for key in _SAME}
    if all(a == b or (None not in (a, b) and abs(a - b) < _SAME[k]) for k, (a, b) in pairs.items()):
        return ""
    scores = " and ".join("-" if x is None else f"{x:.4f}" for x in pairs["psnr"])
    return (
        f"{source} and {where}: {method} on {entry['set']} x{entry['scale']} by "
        f"{entry['protocol']} scores {scores}: other low-quality pictures, other tiles, or images "
        "missing"
    )


def _disagreements(facts: Mapping[tuple[str, str], Mapping[str, str]]) -> list[str]:
    """Where rows are not of the same low-quality pictures, or averaged runs are not seeds of one
    training: other iterations or sets."""
    return [
        f"{subject}: the low-quality pictures of {' and '.join(values.values())} differ; the rows "
        "cannot be compared"
        if what == "pictures"
        else f"{subject}: runs of {what} {' and '.join(sorted(values))} are averaged as if they "
        "were seeds; name them apart, NAME=PATH"
        for (subject, what), values in facts.items()
        if len(values) > 1
    ]


def _mean(
    entries: Sequence[Entry], method: str, metrics: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """The entry of one cell from those of all seeds, and what to warn of."""
    merged = {**entries[0], "method": method}
    scored = [entry for entry in entries if entry["psnr"] is not None]
    if len(entries) == 1:
        return merged, []
    where = f"{method}, {merged['set']} x{merged['scale']} by {merged['protocol']}"
    warnings = []
    if len(scored) < len(entries):
        warnings.append(f"{where}: {len(entries) - len(scored)} of {len(entries)} runs have none")
    if len({tuple(image["name"] for image in entry["images"]) for entry in scored}) > 1:
        warnings.append(f"{where}: the runs were scored on different images")
    if not scored:
        return merged, warnings
    merged = {key: value for key, value in merged.items() if key not in metrics}
    keys = [k for k in ("psnr", "ssim", *metrics) if all(e.get(k) is not None for e in scored)]
    images: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for image in (image for entry in scored for image in entry["images"]):
        images[image["name"]].append(image)
    for key in keys:
        merged[key], deviation = mean_and_deviation([entry[key] for entry in scored])
        merged |= {} if deviation is None else {f"{key}_std": deviation}
    merged["runs"] = len(scored)
    merged["images"] = []
    for name, found in images.items():
        image = {"name": name}
        for key in keys:  # the mean over all runs; None where one has none
            known = [i[key] for i in found if None not in (i["psnr"], i.get(key))]
            image[key] = mean_and_deviation(known)[0] if len(known) == len(scored) else None
        merged["images"].append(image)
    # A mean has the published score that stands beside all of it.
    beside = [entry.get("published") or {} for entry in entries]
    published = merged.pop("published", None)
    if published and len({(of.get("method"), of.get("source")) for of in beside}) == 1:
        merged["published"] = {**published, "difference": difference(merged, published)}
    if notes := [*dict.fromkeys(note for entry in entries for note in entry.get("notes", ()))]:
        merged["notes"] = notes
    return merged, warnings


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
    head = ["set", "protocol", "images", "PSNR in dB", "95 % interval", "SSIM", "95 % interval"]
    table = Table(head, [], groups=[1, 1, 2, 2], title=f"{first} - {second}")
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
    mean, *ends = (
        "" if x is None else f"{x:+.{digits}f}"
        for x in (interval.mean, interval.low, interval.high)
    )
    return [mean, f"[{', '.join(ends)}]" if all(ends) else "-"]
