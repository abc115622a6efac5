"""Merging the results of several runs: seeds of one method become mean and standard deviation."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superres.errors import UserError
from superres.evaluation.published import difference, is_published_name
from superres.evaluation.record import Entry, entries_of
from superres.evaluation.statistics import mean_and_deviation, paired_difference
from superres.evaluation.tables import Table, format_cell


@dataclass(frozen=True)
class Run:
    """One results.json.

    Attributes:
        source: its file or folder, as the user named it.
        record: see :class:`superres.evaluation.record.Record`.
        name: the method's name in the table; None keeps the record's.
    """

    source: str
    record: Mapping[str, Any]
    name: str | None = None

    @property
    def folder(self) -> Path:
        """The folder of the results.json."""
        return Path(self.source) if Path(self.source).is_dir() else Path(self.source).parent

    @property
    def weights_id(self) -> str:
        """The checkpoint's SHA-256, else the folder of its SR images, else the source."""
        checkpoint = self.record.get("checkpoint") or {}
        return str(checkpoint.get("sha256") or self.record.get("sr_dir") or self.source)

    @property
    def config(self) -> str:
        """The name of its config, without folder and suffix."""
        return re.split(r"[\\/]", str(self.record.get("config", "")))[-1].partition(".")[0]


def merge_runs(runs: Sequence[Run]) -> tuple[dict[str, Any], list[str]]:
    """Return one record of all runs, and warnings for the reader.

    Runs of one method with different weights are its seeds: their entry holds the mean of their
    scores, ``psnr_std`` and ``ssim_std`` (sample standard deviation) and ``runs``; its images
    hold each image's mean. The same weights tested twice count once.

    Raises:
        UserError: two runs use one protocol's name for different rules, or the same weights have
            different scores in one cell.
    """
    protocols: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    # (is a result, not a baseline; method; set; scale; protocol) -> weights -> an entry and its run
    cells: dict[tuple[bool, str, str, int, str], dict[str, tuple[Entry, Run]]] = defaultdict(dict)
    # what runs should agree on -> value -> the first run that has it
    facts: dict[str, dict[Any, str]] = defaultdict(dict)
    warnings = []
    for run in runs:
        metrics |= run.record.get("metrics") or {}
        for key, protocol in run.record["protocols"].items():
            if _rules(protocols.setdefault(key, protocol)) != _rules(protocol):
                raise UserError(f"{run.source}: its protocol {key!r} is not that of the others")
    for run, is_result, entry in named_entries(runs):
        for subject, value in _facts(run, entry, is_result):
            facts[subject].setdefault(value, run.source)
        cell = cells[is_result, entry["method"], entry["set"], entry["scale"], entry["protocol"]]
        first, earlier = cell.setdefault(run.weights_id if is_result else "", (entry, run))
        if is_result and _scores_differ(entry, first):
            raise UserError(
                f"{run.source} and {earlier.source}: {entry['method']} on {entry['set']} "
                f"x{entry['scale']} by {entry['protocol']} scores {format_cell(entry)} and "
                f"{format_cell(first)}, though the weights are the same: other low-quality "
                "images, other tiles, or images missing; name them apart, NAME=PATH"
            )
    for subject, found in facts.items():
        if len(found) > 1:
            warnings.append(
                f"{subject} of {' and '.join(found.values())} differ, so these are not "
                "seeds of one training, or rows of one test; name them apart, NAME=PATH"
            )
    merged: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for (is_result, *_), cell in cells.items():
        entry, more = _mean([entry for entry, _ in cell.values()], metrics)
        merged[is_result].append(entry)
        warnings += more
    kept = {"protocols": protocols, **({"metrics": metrics} if metrics else {})}
    return {**kept, "baselines": merged[False], "results": merged[True]}, warnings


def named_entries(runs: Sequence[Run]) -> Iterator[tuple[Run, bool, Entry]]:
    """Yield (run, is a result and not a baseline, entry under the name that the table shows).

    That name is the config's if the runs use one method's name for several configs.
    """
    configs: dict[str, set[str]] = defaultdict(set)  # one method has a config per scale
    for run in runs:
        for entry in run.record["results"]:
            configs[entry["method"]].add(re.sub(r"_x\d+(?=[a-z_])", "_x", run.config))
    for run in runs:
        yield from ((run, False, entry) for entry in run.record.get("baselines", ()))
        for entry in run.record["results"]:
            method = entry["method"]
            if len(configs[method]) > 1:
                method = run.config + "+" * method.endswith("+")
            yield run, True, _renamed(entry, run.name or method, run.record)


def _renamed(entry: Entry, method: str, record: Mapping[str, Any]) -> Entry:
    """The entry under a new name; a note if that is a published method's name and nothing in the
    record says that this is the published network."""
    published = record.get("published_network"), entry.get("published")
    known = {entry["method"], *((one or {}).get("method") for one in published)}
    notes = [*entry.get("notes", ())]
    if is_published_name(method) and not known & {method, method.removesuffix("+")}:
        was = f"{entry['method']} in its results.json"
        notes.append(f"called so here, {was}: not known to be the published network")
    return {**entry, "method": method, **({"notes": notes} if notes else {})}


def _rules(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """What a protocol computes, without the texts about it."""
    return {k: v for k, v in protocol.items() if k not in ("line", "description", "source")}


def _facts(run: Run, entry: Entry, is_result: bool) -> Iterator[tuple[str, Any]]:
    """Yield what runs of a column (LR images) or row (training) should agree on, and its value."""
    for line in run.record.get("sets", ()):
        if digest := (line.get("lq_fingerprint") or {}).get("sha256"):
            yield f"{line['set']} x{line['scale']}: the low-quality images", str(digest)
    for key, words in (("iter", "the iterations"), ("train_set", "the training sets")):
        if is_result and (value := run.record.get(key)):
            yield f"{entry['method']}: {words}", str(value)


def _scores_differ(entry: Entry, first: Entry) -> bool:
    """Whether scores differ by more (dB, SSIM) than the rounding errors of two machines explain."""
    pairs = ((entry[key], first[key], limit) for key, limit in (("psnr", 5e-4), ("ssim", 5e-6)))
    return any(a != b and (None in (a, b) or abs(a - b) >= limit) for a, b, limit in pairs)


def _mean(entries: Sequence[Entry], metrics: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return one cell's entry from those of all its seeds, and warnings."""
    merged = dict(entries[0])
    scored = [entry for entry in entries if entry["psnr"] is not None]
    if len(entries) == 1 or not scored:
        return merged, []
    named = [{image["name"]: image for image in entry["images"]} for entry in scored]
    warnings = []
    if len(scored) < len(entries) or any(named[0].keys() != other.keys() for other in named):
        where = f"{merged['method']}, {merged['set']} x{merged['scale']} by {merged['protocol']}"
        warnings.append(f"{where}: the runs were scored on different images, or some on none")
    merged = {key: value for key, value in merged.items() if key not in metrics}
    keys = [k for k in ("psnr", "ssim", *metrics) if all(e.get(k) is not None for e in scored)]
    for key in keys:
        merged[key], deviation = mean_and_deviation([entry[key] for entry in scored])
        merged |= {} if deviation is None else {f"{key}_std": deviation}
    merged |= {"runs": len(scored), "images": []}
    for name in dict.fromkeys(name for images in named for name in images):
        image = {"name": name}
        for key in keys:  # the mean over all runs; None if one of them lacks it
            scores = [images.get(name, {}).get(key) for images in named]
            image[key] = None if None in scores else mean_and_deviation(scores)[0]
        merged["images"].append(image)
    # The published score is kept if it is the same for all runs.
    each = [entry.get("published") or {} for entry in entries]
    published = merged.pop("published", None)
    if published and len({(one.get("method"), one.get("source")) for one in each}) == 1:
        merged["published"] = {**published, "difference": difference(merged, published)}
    if notes := [*dict.fromkeys(note for entry in entries for note in entry.get("notes", ()))]:
        merged["notes"] = notes
    return merged, warnings


def compare(record: Mapping[str, Any], first: str, second: str) -> list[dict[str, Any]]:
    """Return ``first`` minus ``second``, image by image, per set, scale and protocol of a record.

    Returns:
        A dict per cell that both methods have: ``set``, ``scale``, ``protocol``, ``psnr`` and
        ``ssim``; the last two are results of :func:`paired_difference`.

    Raises:
        UserError: the record has no such method.
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
    """The table of the lines that :func:`compare` returns."""
    head = ["set", "protocol", "images", "PSNR in dB", "SSIM"]
    table = Table(head, [], title=f"{first} - {second}")
    for line in lines:
        psnr, ssim = line["psnr"], line["ssim"]
        cells = [str(psnr["count"] if psnr else 0), _interval(psnr, 3), _interval(ssim, 5)]
        table.rows.append([f"{line['set']} x{line['scale']}", line["protocol"], *cells])
    table.notes = [
        f"{first} less {second}, image by image: the mean difference [Student's 95 % "
        "confidence interval of it] over the images (mean ± t * s / sqrt(n)). An interval without "
        "0 in it is significant over these images; it says nothing about other seeds."
    ]
    return table


def _interval(diff: Mapping[str, Any] | None, digits: int) -> str:
    """A mean with its confidence interval, ``+0.043 [-0.020, +0.106]``; ``-`` if not known."""
    known = [diff[k] for k in ("mean", "low", "high") if diff[k] is not None] if diff else []
    mean, *ends = [f"{x:+.{digits}f}" for x in known] or ["-"]
    return f"{mean} [{', '.join(ends)}]" if ends else mean
