"""Training curves from a work dir's ``log.jsonl``, as SVG that needs nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

Series = Mapping[str, Sequence[tuple[float, float]]]

_WIDTH, _HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 12, 30, 34
_COLOURS = 6  # --c0 to --c5 of the report's style
_POINTS = 400
_LARGEST = 1e18


def read_curves(log: Path) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """The curves of a log: ``{'loss': {...}, 'learning rate': {...}, 'PSNR in dB': {...}}``.

    A resumed run writes some iterations again; the later line counts. Lines that are cut off, as
    a killed process leaves them, or of another kind are left out.
    """
    curves: dict[str, dict[str, dict[float, float]]] = {}

    def put(curve: str, name: str, iteration: object, value: object) -> None:
        if _is_drawable(iteration) and _is_drawable(value):
            curves.setdefault(curve, {}).setdefault(name, {})[iteration] = value

    for line in log_lines(log):
        if "iter" not in line:
            continue
        if line.get("mode") == "train":
            for key, value in line.items():
                if key.startswith("loss"):
                    put("loss", key, line["iter"], value)
            put("learning rate", "lr", line["iter"], line.get("lr"))
        elif line.get("mode") == "val":
            results = line.get("results")
            for entry in results if isinstance(results, list) else ():
                if not isinstance(entry, dict):
                    continue
                name = f"{entry.get('set')} x{entry.get('scale')} ({entry.get('protocol')})"
                put("PSNR in dB", name, line["iter"], entry.get("psnr"))
    return {
        curve: {name: sorted(points.items()) for name, points in series.items()}
        for curve, series in curves.items()
    }


def log_lines(log: Path) -> Iterator[dict[str, Any]]:
    """The records of a ``log.jsonl``, without lines that are cut off or hold something else."""
    with open(log, encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict):
                yield line


def _is_drawable(value: object) -> bool:
    """A finite number that sums and logarithms of it can take."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and abs(value) < _LARGEST


def line_chart(title: str, series: Series, over: str = "iterations") -> Markup:
    """An SVG of lines over something, with axes and a legend; names are escaped."""
    kept = {name: _thinned(points) for name, points in series.items() if points}
    xs = [x for points in kept.values() for x, _ in points]
    ys = [y for points in kept.values() for _, y in points]
    if not xs:
        return Markup("")
    x_ticks, y_ticks = _ticks(min(xs), max(xs)), _ticks(min(ys), max(ys))
    x_low, x_high = min(min(xs), x_ticks[0]), max(max(xs), x_ticks[-1])
    y_low, y_high = min(min(ys), y_ticks[0]), max(max(ys), y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / ((x_high - x_low) or 1)
        up = (y - y_low) / ((y_high - y_low) or 1)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 16 * len(kept)}" role="img" '
        f'aria-label="{escape(title)} over {escape(over)}">',
        f'<text x="{_LEFT}" y="16">{escape(title)}</text>',
    ]
    for tick in y_ticks:
        y = place(x_low, tick)[1]
        parts.append(
            f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>'
        )
    for tick in x_ticks:
        x = place(tick, y_low)[0]
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">'
            f"{_short(tick)}</text>"
        )
    for number, (name, points) in enumerate(kept.items()):
        colour = f"var(--c{number % _COLOURS})"
        at = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in points)
        y = _HEIGHT + 16 * number
        parts.append(f'<polyline class="curve" stroke="{colour}" points="{at}"/>')
        if len(points) == 1:
            x0, y0 = place(*points[0])
            parts.append(f'<circle cx="{x0:.1f}" cy="{y0:.1f}" r="3" fill="{colour}"/>')
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + 18}" y1="{y}" y2="{y}" class="curve" '
            f'stroke="{colour}"/><text x="{_LEFT + 24}" y="{y + 4}">{escape(name)}</text>'
        )
    return Markup("".join(parts) + "</svg>")


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of neighbours, so that a long run draws no more points than can be seen."""
    size = -(-len(points) // _POINTS)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers that span low to high."""
    if not high > low:
        return [low]
    raw = (high - low) / 4
    magnitude = 10 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [n * step for n in range(first, last + 1)]


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
