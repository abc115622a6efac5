"""docs/performance.md and docs/load.md, from what ``tools/benchmark.py NAME --json`` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from maintain import ROOT, filled, markdown_table
from maintain.chart import chart_file

DOCS = ROOT / "docs"


def pages() -> dict[Path, str]:
    """Both pages, and the plot of memory over time."""
    files = sorted((DOCS / "results").glob("benchmark-*.json"))
    results = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in files}
    load = json.loads((DOCS / "results/load.json").read_text(encoding="utf-8"))
    return {
        DOCS / "performance.md": filled(DOCS / "performance.md", performance(results)),
        DOCS / "load.md": filled(DOCS / "load.md", "\n".join(load_table(load))),
        DOCS / "images/load.svg": load_plot(load),
    }


def performance(results: dict[str, dict[str, Any]]) -> str:
    """A section for each benchmark."""
    lines = [""]
    for name, result in results.items():
        setup = ", ".join(f"{k} {v}" for k, v in result["setup"].items())
        rows = [[v["name"], _number(v["median"]), v["unit"]] for v in result["variants"]]
        lines += [f"## `benchmark {result['benchmark']}`", "", f"{result['device']}; {setup}."]
        lines += [f"{_versions(result)}. From `{name}`.", ""]
        lines += markdown_table(["variant", "median:", "unit"], rows)
        ratios = [[key, f"{value:.2f}"] for key, value in result["ratios"].items()]
        lines += ["", *markdown_table(["ratio", "value:"], ratios), ""]
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _versions(result: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in result["versions"].items())


def load_table(report: dict[str, Any]) -> list[str]:
    """A line for each run of the benchmark ``load``."""
    rows = []
    for group in report["runs"].values():
        for title, one in group.items():
            growth = [one.get("growth of own memory, MiB"), one.get("growth of open files")]
            numbers = [f"{one['seconds']:,.0f}", f"{one['peak, MiB']:,.0f}"]
            numbers += ["" if value is None else f"{value:.1f}" for value in growth]
            rows.append(
                [title, f"`{one['command']}`", *numbers, "yes" if one["holds"] else "**no**"]
            )
    head = ["run", "what", "seconds:", "peak, MiB:", "growth, MiB:", "growth, files:", "holds"]
    return [f"{report['device']}; {_versions(report)}.", "", *markdown_table(head, rows)]


def load_plot(report: dict[str, Any]) -> str:
    """Own memory of each run, from its begin to its end, as SVG."""
    series = {}
    for group in report["runs"].values():
        for title, one in group.items():
            seconds, own = one["curve"]["seconds"], one["curve"]["own"]
            series[title] = [(100 * s / (seconds[-1] or 1.0), o) for s, o in zip(seconds, own)]
    return chart_file("own memory in MiB", series, "percent of each run's time")
