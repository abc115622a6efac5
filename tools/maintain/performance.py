"""Write the measured part of docs/performance.md and its charts from committed results.

python tools/maintain/performance.py

The JSON files are those of ``tools/benchmark.py NAME --json docs/results/benchmark-NAME.json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

from benchmarks.harness import tables
from maintain import ROOT, save_svg
from maintain.docs import filled

PAGE = ROOT / "docs/performance.md"


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
"""What each benchmark answers, and the unit of the variants that its chart shows."""
NCNN = "superres upscale, EDSR 16x64 / ncnn script, EDSR 16x64"
MEMORY = "x4 peak memory, eager PyTorch whole / superres ncnn tiles"
GOALS = {
    "photo": (("superres upscale, edsr-s", 0.7, True), (NCNN, 1.3, True)),
    "infer": (("x4 eager PyTorch / superres ncnn", 3.0, False), (MEMORY, 3.0, False)),
    "data": (("superres", 50.0, True), ("2 workers to an empty step", 2000.0, False)),
    "loop": (("loop", 0.3, True),),
}
"""(variant or ratio, the limit, whether less is better)."""


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


def plot(name: str, result: dict[str, Any]) -> None:
    """Draw the variants as bars: the same bytes for the same numbers."""
    from matplotlib.figure import Figure

    unit = QUESTIONS[name][1]
    shown = [v for v in result["variants"] if v["unit"] == unit][::-1]
    figure = Figure(figsize=(8, 0.6 + 0.35 * len(shown)), layout="constrained")
    axes = figure.subplots()
    colours = ["#3f51b5" if "superres" in v["name"] else "#9e9e9e" for v in shown]
    bars = axes.barh([v["name"] for v in shown], [v["median"] for v in shown], color=colours)
    axes.bar_label(bars, fmt=lambda x: f"{x:,.0f}" if x >= 100 else f"{x:.3g}", padding=3)
    axes.set_xlabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    save_svg(figure, ROOT / f"docs/images/performance-{name}.svg", name)


def measured() -> dict[str, dict[str, Any]]:
    """The results on record, in the order of the questions."""
    files = {name: ROOT / f"docs/results/benchmark-{name}.json" for name in QUESTIONS}
    return {n: json.loads(f.read_text("utf-8")) for n, f in files.items() if f.is_file()}


def page() -> str:
    """docs/performance.md with what the results say."""
    results = measured()
    lines = [line for name, found in results.items() for line in section(name, found)]
    versions = {tuple(found["versions"].items()) for found in results.values()}
    lines += [", ".join(f"{k} {v}" for k, v in each) + "." for each in sorted(versions)]
    return filled(PAGE, lines)


def main() -> None:
    """Write the page and its charts."""
    PAGE.write_text(page(), encoding="utf-8")
    for name, found in measured().items():
        plot(name, found)


if __name__ == "__main__":
    main()
