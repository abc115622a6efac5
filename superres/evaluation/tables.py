"""Tables of results: what stands in them, before anybody formats it.

A table is text in rows and columns. ``render`` writes one for a terminal, Markdown or LaTeX.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Entry = Mapping[str, Any]
MISSING = "*"
"""Stands behind a mean over some images only; a note says which ones are missing."""


@dataclass
class Table:
    """Text in rows and columns.

    Attributes:
        header: one text per column; the first column names the rows.
        rows: as many texts each.
        groups: how many columns, after the first, belong together and are not to be torn apart.
        title: what it is about.
        notes: lines beneath it.
    """

    header: list[str]
    rows: list[list[str]]
    groups: list[int] = field(default_factory=list)
    title: str = ""
    notes: list[str] = field(default_factory=list)


def entries_of(record: Mapping[str, Any]) -> list[Entry]:
    """The baselines, then the results of a record."""
    return [*record.get("baselines", ()), *record["results"]]


def result_tables(record: Mapping[str, Any]) -> list[Table]:
    """One table per protocol: rows are methods, columns sets and scales, PSNR / SSIM.

    Where a published value is known, its column and that of the difference follow.
    """
    entries = entries_of(record)
    metrics = record.get("metrics") or {}
    tables = []
    for protocol in dict.fromkeys(entry["protocol"] for entry in entries):
        mine = [entry for entry in entries if entry["protocol"] == protocol]
        columns = list(dict.fromkeys((entry["set"], entry["scale"]) for entry in mine))
        methods = list(dict.fromkeys(entry["method"] for entry in mine))
        cells = {(e["method"], e["set"], e["scale"]): e for e in mine}
        table = Table(["method"], [[method] for method in methods])
        for name, scale in columns:
            found = [cells.get((method, name, scale)) for method in methods]
            compared = any(e and e.get("published") for e in found)
            table.header += [f"{name} x{scale}", *(["published", "difference"] * compared)]
            extra = [key for key in metrics if any(e and key in e for e in found)]
            table.header += [f"{name} x{scale} {metrics[key]['title']}" for key in extra]
            table.groups.append((3 if compared else 1) + len(extra))
            for row, entry in zip(table.rows, found):
                row.append(format_cell(entry) if entry else "")
                if compared:
                    row += _published_cells(entry)
                row += [_metric_cell(entry, key) for key in extra]
        described = record["protocols"][protocol]["line"]
        table.title = protocol
        lines = [of["line"] for key, of in metrics.items() if any(key in e for e in mine)]
        table.notes = [f"PSNR / SSIM by {described}", *lines, *_notes(mine)]
        tables.append(table)
    return tables


def _metric_cell(entry: Entry | None, key: str) -> str:
    """The mean of an optional metric, marked like PSNR's where images are missing from it."""
    if not entry or entry.get(key) is None:
        return "-" if entry else ""
    text = f"{entry[key]:.4f}"
    if entry.get(f"{key}_std") is not None:
        text += f" ± {entry[f'{key}_std']:.4f}"
    lacking = any(image.get(key) is None for image in entry.get("images", ()))
    return f"{text} {MISSING}" if lacking else text


def _published_cells(entry: Entry | None) -> list[str]:
    published = entry and entry.get("published")
    if not published:
        return ["", ""]
    return [format_published(published), format_difference(entry)]


def _notes(entries: Sequence[Entry]) -> list[str]:
    rows: dict[tuple[str, int], list[str]] = {}
    told: dict[tuple[tuple[str, int], str], list[str]] = {}
    for entry in entries:
        column = (entry["set"], entry["scale"])
        rows.setdefault(column, []).append(entry["method"])
        for note in entry.get("notes", ()):
            told.setdefault((column, note), []).append(entry["method"])
    notes = []
    for (column, note), methods in told.items():
        # What holds for all rows is said once.
        of = "" if methods == rows[column] else f"{', '.join(methods)}, "
        notes.append(f"  {of}{column[0]} x{column[1]}: {note}")
    sources: dict[str, list[str]] = {}
    for entry in entries:
        published = entry.get("published")
        if published:
            note = f" ({published['note']})" if published.get("note") else ""
            line = f"{published['method']}: {published['source']}{note}"
            sources.setdefault(line, []).append(entry["set"])
    return notes + [f"  published: {line}" for line in sources]


def format_cell(entry: Entry) -> str:
    """``38.27 / 0.9614``; ``-`` where nothing was scored, ``*`` behind where something is missing.

    With the standard deviation over several runs: ``38.27 ± 0.02 / 0.9614 ± 0.0001 (n=3)``.
    """
    if entry["psnr"] is None and entry.get("psnr_note") != "inf":
        return "-"
    psnr = math.inf if entry["psnr"] is None else entry["psnr"]
    ssim = 1.0 if entry["ssim"] is None else entry["ssim"]
    if entry.get("psnr_std") is not None:
        text = (
            f"{psnr:.2f} ± {entry['psnr_std']:.2f} / {ssim:.4f} ± {entry['ssim_std']:.4f} "
            f"(n={entry['runs']})"
        )
    else:
        text = f"{psnr:.2f} / {ssim:.4f}"
    return f"{text} {MISSING}" if is_partial(entry) else text


def is_partial(entry: Entry) -> bool:
    """Some images are missing from the mean."""
    images = entry.get("images", ())
    return any(i["psnr"] is None and i.get("psnr_note") != "inf" for i in images)


def format_published(published: Mapping[str, Any]) -> str:
    """As printed there: two digits, or four."""
    psnr, ssim = published["psnr"], published["ssim"]
    if psnr is None:
        return "-" if ssim is None else f"- / {ssim:.4f}"
    text = f"{psnr:.2f}" if round(psnr, 2) == psnr else f"{psnr:.4f}"
    return text if ssim is None else f"{text} / {ssim:.4f}"


def format_difference(entry: Entry) -> str:
    """Ours less published: ``+0.01 / -0.0002``."""
    difference = entry["published"].get("difference") or {}
    if difference.get("psnr") is None:
        return ""
    text = f"{difference['psnr']:+.2f}"
    return text if difference.get("ssim") is None else f"{text} / {difference['ssim']:+.4f}"


def all_tables(record: Mapping[str, Any]) -> list[Table]:
    """:func:`result_tables`, and one of parameters, operations, time and memory, if known."""
    tables = result_tables(record)
    costs = {cost["scale"]: cost for cost in record.get("costs", ())}
    rows = []
    for line in record.get("runtime", ()):
        cost, memory = costs.get(line["scale"]), line.get("memory_mb")
        rows.append(
            [
                f"{line['set']} x{line['scale']}",
                f"{cost['parameters']:,}" if cost else "",
                f"{cost['flops'] / 1e9:,.1f}" if cost else "",
                f"{line['seconds']['median']:.3f}",
                f"{line['seconds']['total']:.1f}",
                "" if memory is None else f"{memory:,.0f}",
            ]
        )
    if rows:
        note = (
            "Time of the network and of moving pictures to and from it, on "
            f"{record.get('device', '')}; peak MiB: {record.get('memory_means', '')}. GFLOPs to "
            "make a picture of 1280x720, an addition and a multiplication being two."
        )
        head = ["set", "parameters", "GFLOPs", "s/image (median)", "s in all", "peak MiB"]
        tables.append(Table(head, rows, title="cost", notes=[note]))
    return tables
