"""Compare trainings by processor time: validation PSNR against seconds, as a table and a plot.

python tools/maintain/recipe.py

reads the logs of the trainings on record whose names begin with ``recipe-`` and writes the table of
docs/recipe.md and docs/images/recipe.svg.
"""

from __future__ import annotations

import bisect
import gzip
import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

from maintain import ROOT, markdown_table, save_svg
from maintain.docs import filled
from maintain.records import RECORDS

PAGE, PLOT = ROOT / "docs/recipe.md", ROOT / "docs/images/recipe.svg"
SECONDS = (300, 600, 900, 1200)
Curve = list[tuple[float, float]]
"""(processor seconds, PSNR in dB of a validation), in order."""


def curve(log: Path) -> Curve:
    """The validations of a ``log.jsonl.gz``, timed by `superres.recipes.CpuSecondsHook`."""
    seconds: dict[int, float] = {}
    scores: dict[int, float] = {}
    with gzip.open(log, "rt", encoding="utf-8") as file:
        for line in map(json.loads, file):
            if line["mode"] == "train":
                seconds[line["iter"]] = line["cpu_seconds"]
            elif line["mode"] == "val":
                scores[line["iter"]] = line["results"][0]["psnr"]
    return [(seconds[n], psnr) for n, psnr in sorted(scores.items()) if n in seconds]


def table(curves: dict[str, Curve]) -> list[str]:
    """A row per training, the best end first: PSNR of the last validation before each time."""
    rows = []
    for name, points in sorted(curves.items(), key=lambda item: -item[1][-1][1]):
        times = [time for time, _ in points]
        reached = [bisect.bisect_right(times, limit) - 1 for limit in SECONDS]
        cells = [f"{points[i][1]:.2f}" if i >= 0 else "" for i in reached]
        rows.append([name, *cells, f"{points[-1][1]:.2f}", f"{times[-1]:,.0f}"])
    head = ["training", *(f"{limit} s:" for limit in SECONDS), "end:", "seconds:"]
    return markdown_table(head, rows)


def plot(curves: dict[str, Curve]) -> None:
    """Draw all curves into `PLOT`, the same bytes for the same logs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot(*zip(*points), label=name, linewidth=1.2)
    axes.set(xlabel="processor seconds of one thread", ylabel="PSNR on Set5 x2 in dB")
    axes.set_ylim(bottom=35.5)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save_svg(figure, PLOT, "recipe")


def page() -> str:
    """docs/recipe.md with the table that the logs give."""
    return filled(PAGE, table(on_record()))


def on_record() -> dict[str, Curve]:
    """The trainings on record, by the setting that was changed."""
    logs = sorted(RECORDS.glob("recipe-*/log.jsonl.gz"))
    return {log.parent.name.removeprefix("recipe-").partition("_")[0]: curve(log) for log in logs}


def main() -> None:
    """Write both."""
    PAGE.write_text(page(), encoding="utf-8")
    plot(on_record())


if __name__ == "__main__":
    main()
