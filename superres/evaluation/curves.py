"""Training curves from a work dir's ``log.jsonl``, drawn as SVG."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Series = Mapping[str, Sequence[tuple[float, float]]]

_POINTS = 400


def read_curves(
    lines: Iterable[Mapping[str, Any]],
) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """The curves of a log: ``{'loss': {...}, 'learning rate': {...}, 'PSNR in dB': {...}}``.

    A resumed run writes some iterations again; the later line counts.

    Args:
        lines: of :func:`log_lines`.
    """
    curves: Any = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        for curve, name, value in _values(line):
            if value is not None:
                curves[curve][name][line["iter"]] = value
    return {
        curve: {name: sorted(points.items()) for name, points in series.items()}
        for curve, series in curves.items()
    }


def _values(line: Mapping[str, Any]) -> Iterator[tuple[str, str, float | None]]:
    """Which curves a line has a value for, and under which name."""
    if line.get("mode") == "train":
        yield from (("loss", key, line[key]) for key in line if key.startswith("loss"))
        yield "learning rate", "lr", line.get("lr")
    elif line.get("mode") == "val":
        for entry in line.get("results") or ():
            name = f"{entry['set']} x{entry['scale']} ({entry['protocol']})"
            yield "PSNR in dB", name, entry.get("psnr")


def log_lines(log: Path, warn: Callable[[str], object] = lambda _: None) -> Iterator[dict]:
    """The records of a training's ``log.jsonl``, without lines that hold something else.

    Args:
        log: the file.
        warn: called with the number of each line that is passed by: one that was cut off, say.
    """
    with open(log, encoding="utf-8", errors="replace") as file:
        for number, text in enumerate(file, 1):
            try:
                line = json.loads(text)
                scored = {"set", "scale", "protocol"}.issubset
                whole = line["mode"] == "event" or isinstance(line["iter"], int)
                whole = whole and all(map(scored, line.get("results") or ()))
            except (ValueError, RecursionError, KeyError, TypeError):
                whole = False
            if whole:
                yield line
            else:
                warn(f"{log}: line {number} is not of a training's log; it is passed by")


def line_chart(title: str, series: Series) -> str:
    """An SVG of lines over iterations, with axes and a legend; names are escaped in it.

    Of a long run means of neighbours are drawn, no more points than can be seen.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure, out = Figure(figsize=(6, 3.4), layout="constrained"), io.StringIO()
    axes = figure.subplots()
    for points in series.values():
        size = -(-len(points) // _POINTS)
        groups = [points[i : i + size] for i in range(0, len(points), size)]
        means = [[sum(values) / len(group) for values in zip(*group)] for group in groups]
        axes.plot(*zip(*means), marker="o" if len(means) == 1 else None)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    for text in axes.legend(axes.lines, [*series], frameon=False).texts:
        text.set_parse_math(False)
    for text in figure.findobj(mpl.text.Text):
        text.set_color("#888")  # to be read on white and on black
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        said = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # nothing
        figure.savefig(out, format="svg", transparent=True, metadata=said)
    svg = out.getvalue().partition("<svg")[2]
    return f'<svg role="img" aria-label="{title} over iterations"{svg}'
