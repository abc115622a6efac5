"""Write what is measured in docs/performance.md and docs/recipe.md, and their charts.

python tools/maintain/charts.py

Both are made of committed results alone: the JSON files of ``tools/benchmark.py NAME --json
docs/results/benchmark-NAME.json``, and the logs of the trainings on record whose names begin with
``recipe-`` (validation PSNR against processor time).
"""

from __future__ import annotations

import bisect
import gzip
import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.harness import tables
from maintain import ROOT, markdown_table
from maintain.docs import RECORDS, filled

SECONDS = (300, 600, 900, 1200)
# (processor seconds, PSNR in dB of a validation), in order.
Curve = list[tuple[float, float]]
# What each benchmark answers, and the unit of the variants that its chart shows.
QUESTIONS = {
    "photo": ("How long does a small photo take, the whole command?", "s"),
    "folder": ("How fast is a folder of small images?", "images/s"),
    "infer": ("How fast is a larger image on a CPU?", "ms"),
    "train": ("How fast is a training step on a CPU?", "it/s"),
    "data": ("How fast are training samples?", "us/sample"),
    "loop": ("What does the training loop itself cost?", "ms/iteration"),
    "metrics": ("How fast are PSNR and SSIM?", "ms"),
    "resize": ("How fast is MATLAB's bicubic?", "ms"),
}
NCNN = "superres upscale, EDSR 16x64 / ncnn script, EDSR 16x64"
MEMORY = "x4 peak memory, eager PyTorch whole / x4 peak memory, superres ncnn tiles"
# (variant or ratio, the limit, whether less is better).
GOALS = {
    "photo": (("superres upscale, edsr-s", 0.7, True), (NCNN, 1.3, True)),
    "infer": (("x4 eager PyTorch / x4 superres ncnn", 3.0, False), (MEMORY, 3.0, False)),
    "data": (("superres", 50.0, True), ("2 workers to an empty step", 2000.0, False)),
    "loop": (("loop", 0.3, True),),
}


def section(name: str, result: dict[str, Any]) -> list[str]:
    """The Markdown lines that answer a question."""
    title, setup = QUESTIONS[name][0], ", ".join(f"{k} {v}" for k, v in result["setup"].items())
    found = {v["name"]: (v["median"], v["unit"]) for v in result["variants"]}
    found |= {ratio: (value, "times") for ratio, value in result["ratios"].items()}
    goals = []
    for key, limit, less in GOALS.get(name, ()):
        value, unit = found[key]
        met = "met" if (value <= limit if less else value >= limit) else "missed"
        bound = f"at {'most' if less else 'least'} {limit:,g} {unit}"
        goals.append(f"- {key}: {bound}; {value:,.4g}, {met}")
    lines = [f"## {title}", "", f"![{title}](images/performance-{name}.svg)", ""]
    lines += [f"`tools/benchmark.py {name}` on {result['device']}; {setup}.", "", *tables(result)]
    return [*lines, "", *(["Goals:", "", *goals, ""] if goals else [])]


def save(figure: Figure, name: str) -> None:
    """Write a chart of docs/images, the same bytes for the same numbers."""
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": name.removeprefix("performance-")}
    ):
        file = ROOT / f"docs/images/{name}.svg"
        figure.savefig(file, metadata={"Date": None, "Creator": None}, facecolor="white")


def bars(name: str, result: dict[str, Any]) -> None:
    """Draw the variants of a benchmark."""
    unit = QUESTIONS[name][1]
    shown = [v for v in result["variants"] if v["unit"] == unit][::-1]
    figure = Figure(figsize=(8, 0.6 + 0.35 * len(shown)), layout="constrained")
    axes = figure.subplots()
    colours = ["#3f51b5" if "superres" in v["name"] else "#9e9e9e" for v in shown]
    drawn = axes.barh([v["name"] for v in shown], [v["median"] for v in shown], color=colours)
    axes.bar_label(drawn, fmt=lambda x: f"{x:,.0f}" if x >= 100 else f"{x:.3g}", padding=3)
    axes.set_xlabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    save(figure, f"performance-{name}")


def benchmarks() -> dict[str, dict[str, Any]]:
    """The results on record, in the order of the questions."""
    files = {name: ROOT / f"docs/results/benchmark-{name}.json" for name in QUESTIONS}
    return {n: json.loads(f.read_text("utf-8")) for n, f in files.items() if f.is_file()}


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


def lines(curves: dict[str, Curve]) -> None:
    """Draw all curves."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot(*zip(*points), label=name, linewidth=1.2)
    axes.set(xlabel="processor seconds of one thread", ylabel="PSNR on Set5 x2 in dB")
    axes.set_ylim(bottom=35.5)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save(figure, "recipe")


def trainings() -> dict[str, Curve]:
    """The trainings on record, by the setting that was changed."""
    logs = sorted(RECORDS.glob("recipe-*/log.jsonl.gz"))
    return {log.parent.name.removeprefix("recipe-").partition("_")[0]: curve(log) for log in logs}


def pages() -> dict[Path, str]:
    """The two pages as the results make them."""
    results = benchmarks()
    text = [line for name, found in results.items() for line in section(name, found)]
    versions = {tuple(found["versions"].items()) for found in results.values()}
    text += [", ".join(f"{k} {v}" for k, v in each) + "." for each in sorted(versions)]
    made = {"performance": text, "recipe": table(trainings())}
    return {p: filled(p, made[p.stem]) for p in (ROOT / f"docs/{name}.md" for name in made)}


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8")
    for benchmark, result in benchmarks().items():
        bars(benchmark, result)
    lines(trainings())
