"""Tables of results as rows of text.

`superres.evaluation.render` writes them for a terminal, Markdown or LaTeX. An entry is a cell: one
method on one set at one scale by one protocol, see `superres.evaluation.record.Result`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from superres.evaluation.record import Entry, entries_of

MISSING = " *"
"""Marks a mean that leaves out some images; a note names them."""


@dataclass
class Table:
    """Text in rows and columns.

    Attributes:
        header: one text per column; the first column names the rows.
        rows: each has one text per column.
        groups: sizes of the groups of columns after the first, which stay together when a wide
            table is split; empty if every column stands alone.
        title: its subject.
        notes: lines below it.
    """

    header: list[str]
    rows: list[list[str]]
    groups: list[int] = field(default_factory=list)
    title: str = ""
    notes: list[str] = field(default_factory=list)


def result_tables(record: Mapping[str, Any]) -> list[Table]:
    """Return one table per protocol: rows are methods, columns sets and scales, cells PSNR / SSIM.

    Published scores, where known, and the difference to them follow in two more columns, and each
    further metric in another.
    """
    entries = entries_of(record)
    metrics = record.get("metrics") or {}
    tables = []
    for protocol in dict.fromkeys(entry["protocol"] for entry in entries):
        scored = [entry for entry in entries if entry["protocol"] == protocol]
        methods = list(dict.fromkeys(entry["method"] for entry in scored))
        cells = {(e["method"], e["set"], e["scale"]): e for e in scored}
        table = Table(["method"], [[method] for method in methods], title=protocol)
        for name, scale in dict.fromkeys((entry["set"], entry["scale"]) for entry in scored):
            found = [cells.get((method, name, scale), {}) for method in methods]
            column = f"{name} x{scale}"
            # Header of a column -> what makes its text from an entry.
            columns = {column: format_cell}
            if any(entry.get("published") for entry in found):
                columns |= {"published": _published, "difference": _difference}
            for key, metric in metrics.items():
                if any(key in entry for entry in found):
                    columns[f"{column} {metric.get('title', key)}"] = partial(_metric, key)
            table.header += columns
            table.groups.append(len(columns))
            for row, entry in zip(table.rows, found):
                row += [text_of(entry) if entry else "" for text_of in columns.values()]
        lines = [m["line"] for key, m in metrics.items() if any(key in e for e in scored)]
        described = record["protocols"][protocol]["line"]
        table.notes = [f"PSNR / SSIM by {described}", *lines, *_notes(scored)]
        tables.append(table)
    return tables


def format_cell(entry: Entry) -> str:
    """PSNR / SSIM as ``38.27 / 0.9614``; ``-`` if no image was scored, `MISSING` if some were not.

    The mean of several runs has its standard deviation: ``38.27 ± 0.02 / 0.9614 ± 0.0001 (n=3)``.
    """
    if entry["psnr"] is None:
        return "-"
    text = f"{_with_deviation(entry, 'psnr', 2)} / {_with_deviation(entry, 'ssim', 4)}"
    text += f" (n={entry['runs']})" if entry.get("psnr_std") is not None else ""
    return text + MISSING * is_partial(entry)


def _with_deviation(entry: Entry, key: str, digits: int) -> str:
    """A score as ``38.27 ± 0.02``; without a deviation, or ``-``, if that is not known."""
    parts = [entry.get(key), entry.get(f"{key}_std")]
    return " ± ".join(f"{x:.{digits}f}" for x in parts if x is not None) or "-"


def _metric(key: str, entry: Entry) -> str:
    """A further metric's mean, with `MISSING` if some images lack it."""
    text = _with_deviation(entry, key, 4)
    return text + MISSING * (text != "-" and is_partial(entry, key))


def is_partial(entry: Entry, key: str = "psnr") -> bool:
    """Whether the mean of a metric leaves out some images."""
    return any(image.get(key) is None for image in entry["images"])


def _published(entry: Entry) -> str:
    """The text of the column "published"."""
    return format_published(entry["published"]) if entry.get("published") else ""


def format_published(published: Mapping[str, Any]) -> str:
    """A published score with as many digits of PSNR as its source prints, two or four."""
    psnr, ssim = published["psnr"], published["ssim"]
    text = "-" if psnr is None else f"{psnr:.{2 if round(psnr, 2) == psnr else 4}f}"
    return text if ssim is None else f"{text} / {ssim:.4f}"


def _difference(entry: Entry) -> str:
    """Our score minus the published one: ``+0.01 / -0.0002``."""
    found = (entry.get("published") or {}).get("difference") or {}
    digits = {"psnr": 2, "ssim": 4}
    parts = [f"{found[k]:+.{n}f}" for k, n in digits.items() if found.get(k) is not None]
    return " / ".join(parts)


def _notes(entries: Sequence[Entry]) -> list[str]:
    """The notes of a table: of its entries, with their rows and column, and of published scores."""
    rows: dict[str, list[str]] = {}
    methods_by_note: dict[tuple[str, str], list[str]] = {}
    sources: dict[str, None] = {}
    for entry in entries:
        column = f"{entry['set']} x{entry['scale']}"
        rows.setdefault(column, []).append(entry["method"])
        for note in entry.get("notes", ()):
            methods_by_note.setdefault((column, note), []).append(entry["method"])
        if published := entry.get("published"):
            note = f" ({published['note']})" if published.get("note") else ""
            sources[f"  published: {published['method']}: {published['source']}{note}"] = None
    notes = []
    for (column, note), methods in methods_by_note.items():
        # A note of all rows names none of them.
        who = "" if methods == rows[column] else f"{', '.join(methods)}, "
        notes.append(f"  {who}{column}: {note}")
    return [*notes, *sources]


def all_tables(record: Mapping[str, Any]) -> list[Table]:
    """:func:`result_tables`, and a table of parameters, operations, time and memory if known."""
    costs = {cost["scale"]: cost for cost in record.get("costs", ())}
    note = (
        "Time of the network and of moving images to and from it, on "
        f"{record.get('device', '')}; peak MiB: {record.get('memory_means', '')}. GFLOPs to "
        "make an image of 1280x720, counting multiply and add separately."
    )
    head = ["set", "parameters", "GFLOPs", "s/image (median)", "s in all", "peak MiB"]
    table = Table(head, [], title="cost", notes=[note])
    for line in record.get("runtime", ()):
        cost, memory, seconds = costs.get(line["scale"]), line.get("memory_mb"), line["seconds"]
        known = [cost and f"{cost['parameters']:,}", cost and f"{cost['flops'] / 1e9:,.1f}"]
        known += [f"{seconds['median']:.3f}", f"{seconds['total']:.1f}"]
        known.append(None if memory is None else f"{memory:,.0f}")
        table.rows.append([f"{line['set']} x{line['scale']}", *(text or "" for text in known)])
    return [*result_tables(record), *([table] if table.rows else [])]
