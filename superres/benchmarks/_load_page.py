"""docs/load.md and its plot from what ``superres benchmark load --json`` wrote.

``python -m superres.benchmarks._load_page docs/results/load.json docs/load.md``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superres.errors import UserError
from superres.evaluation.curves import chart_file

PLOT = "images/load.svg"
_TITLE = "own memory in MiB"
_OVER = "percent of each run's time"
_INTRODUCTION = """\
# Load

Memory and open files of long work: the real commands, watched from outside through `/proc`, all
their processes together. This page and its plot are generated; the runs and the page:

<!-- not run: takes more than an hour, and 10 GB of disk -->
```bash
superres benchmark load --json docs/results/load.json --page docs/load.md
```
"""
_LEGEND = """\
*Peak* is the sum of the most that each process ever held, pages of files included; *own* memory is
what no file backs, each shared page counted once. *Growth* is that of a line through own memory
(and through the count of open files) from the end of the first fifth of the run to its end. A run
*holds* if its command ended with 0 and every result is there, memory and open files stay constant
(less than 16 MiB, less than one file) where work is repeated, and the huge picture stays below its
limit and is, where it was compared, what these places alone give when enlarged (within one level).
"""


def page(report: dict[str, Any]) -> str:
    """The page's text."""
    found = {title: one for group in report["runs"].values() for title, one in group.items()}
    lines = [_INTRODUCTION, f"![{_TITLE} over {_OVER}]({PLOT})", ""]
    versions = ", ".join(f"{key} {value}" for key, value in report["versions"].items())
    lines += [f"{report['device']}; {versions}.", ""]
    lines += ["| run | what | seconds | peak, MiB | growth, MiB | growth, files | holds |"]
    lines += ["|---|---|---:|---:|---:|---:|---|"]
    for title, one in found.items():
        growth = [one.get("growth of own memory, MiB"), one.get("growth of open files")]
        cells = [
            title,
            f"`{one['command']}`",
            f"{one['seconds']:,.0f}",
            f"{one['peak, MiB']:,.0f}",
            *("" if value is None else f"{value:.1f}" for value in growth),
            "yes" if one["holds"] else "**no**",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", _LEGEND])


def plot(report: dict[str, Any]) -> str:
    """The plot, an SVG file: own memory of each run, from its begin to its end."""
    series = {}
    for group in report["runs"].values():
        for title, one in group.items():
            curve = one["curve"]
            last = curve["seconds"][-1] or 1.0
            series[title] = [
                (100 * s / last, own) for s, own in zip(curve["seconds"], curve["own"], strict=True)
            ]
    return chart_file(_TITLE, series, _OVER)


def write(report: dict[str, Any], target: Path) -> None:
    """Write the page and, below its folder, the plot.

    Raises:
        UserError: it cannot be written.
    """
    try:
        image = target.parent / PLOT
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_text(plot(report), encoding="utf-8")
        target.write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from error


def main(argv: Sequence[str]) -> int:
    """Write them from a file; gives the exit code.

    Raises:
        UserError: wrong arguments, or a file that is no result of this benchmark.
    """
    if len(argv) != 2:
        raise UserError("give the file of the results and the page to write")
    try:
        report = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
        page(report)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{argv[0]}: no result of benchmark load ({error})") from error
    write(report, Path(argv[1]))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)
