"""Memory and open files of long work: a folder of pictures, a huge picture, a loader's reads."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from superres.benchmarks.harness import report, row
from superres.errors import UserError

RUNS = ("folder", "picture", "reads")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is run, and how much of it."""
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN", help=f"{', '.join(RUNS)}; default: all of them")
    add("--pictures", type=int, default=10_000, help="in the folder (10000)")
    add("--size", default="30000x20000", metavar="WxH", help="of the huge result (30000x20000)")
    add("--formats", nargs="+", default=["png", "tif"], help="of the huge result (png tif)")
    # An hour of a training at 20 iterations of 16 a second.
    add("--samples", type=int, default=3600 * 20 * 16, help="that the loader reads (1152000)")
    add("--workers", type=int, default=8, help="of the loader (8)")
    add("--page", type=Path, metavar="FILE.md", help="write a page with a plot of memory there")
    add("--dir", type=Path, help="an existing folder for what is made (the system's for such)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The runs that are asked for; others that the file of ``--json`` has stay as they are."""
    from superres.benchmarks import _load_page
    from superres.benchmarks import _load_runs as runs

    unknown = [name for name in args.runs if name not in RUNS]
    if unknown:
        raise UserError(f"benchmark load: no run {unknown[0]!r}; there are {', '.join(RUNS)}")
    width, height = _size(args.size)
    if min(args.pictures, args.samples, args.workers) < 1:
        raise UserError("benchmark load: --pictures, --samples and --workers must be at least 1")
    kept = _earlier(args.json)
    work: dict[str, Callable[[Path], dict[str, Any]]] = {
        "folder": lambda root: runs.folder(root, args.pictures),
        "picture": lambda root: runs.picture(root, width, height, args.formats),
        "reads": lambda root: runs.reads(root, args.samples, args.workers),
    }
    for name in args.runs or RUNS:
        with tempfile.TemporaryDirectory(prefix="superres-load-", dir=args.dir) as folder:
            kept[name] = work[name](Path(folder))
    found = {title: one for name in RUNS for title, one in kept.get(name, {}).items()}
    rows = [row(f"{title}: peak", [one["peak, MiB"]], "MiB") for title, one in found.items()]
    growths = ("growth of own memory, MiB", "MiB"), ("growth of open files", "files")
    for key, unit in growths:
        name = key.partition(",")[0]
        rows += [row(f"{t}: {name}", [o[key]], unit) for t, o in found.items() if key in o]
    result = report("load", rows, {f"{t}: holds": float(o["holds"]) for t, o in found.items()})
    result = {**result, "runs": kept}
    if args.page:
        _load_page.write(result, args.page)
    return result


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 256):
        raise UserError(f"--size {text}: WIDTHxHEIGHT, such as 30000x20000, of at least 256 px")
    return int(width), int(height)


def _earlier(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))["runs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--json {path}: is there, and no result of this benchmark") from error
