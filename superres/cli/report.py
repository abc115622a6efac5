"""Make one page of results to look at: scores, images of several methods side by side, curves.

superres report OUT                    a folder of superres test or score, with results.json
superres report A B ours=C             several methods side by side, image by image
superres report work_dirs/NAME         a training: curves, changed keys of its config

The page is one file that needs no network and names no folder of this computer. Images are those
that `superres test --save-images` keeps, or `superres score` has scored.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superres.cli.runs import training_of
from superres.cli.table import read_run
from superres.errors import UserError
from superres.output import printable

if TYPE_CHECKING:
    from superres.evaluation.tables import Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    text = "a folder with results.json, log.jsonl or both; NAME is what to call its method"
    add("folders", nargs="+", metavar="[NAME=]DIR", help=text)
    text = "the page (default: DIR/report.html; of several folders: report.html here)"
    add("-o", "--out", type=Path, metavar="FILE", help=text)


def run(args: argparse.Namespace) -> int:
    """Gather, write the page."""
    from superres.engine.test.shots import find_shots
    from superres.evaluation.curves import log_lines, read_curves
    from superres.evaluation.html_report import render_report
    from superres.evaluation.merge import compare, difference_table, merge_runs
    from superres.files import write_text

    runs, curves, further = [], defaultdict(dict), []
    for text in args.folders:
        one = read_run(text, optional=True)
        if one.record["results"]:
            runs.append(one)
        log = one.folder / "log.jsonl"
        if log.is_file():
            front = f"{one.name or one.folder.resolve().name}: " if len(args.folders) > 1 else ""
            lines = [*log_lines(log, _note)]
            for title, series in read_curves(lines).items():
                curves[title] |= {front + name: points for name, points in series.items()}
            further += _changes(one.folder, training_of(lines, one.folder.name))
        elif not one.record["results"]:
            raise UserError(
                f"{text}: neither results.json (of superres test or score with --out) nor "
                "log.jsonl (of a training) is in this folder"
            )
    counts = Counter(m for one in runs for m in {e["method"] for e in one.record["results"]})
    if len(runs) > 1 and max(counts.values()) > 1:  # side by side, not as one method's seeds
        folders = [one.folder.resolve() for one in runs]
        parts = 1 + (len({folder.name for folder in folders}) < len(folders))
        named = zip(runs, ("/".join(folder.parts[-parts:]) for folder in folders))
        runs = [replace(one, name=one.name or name) for one, name in named]
    record: dict[str, Any] = {"results": [], "protocols": {}, "config": one.folder.resolve().name}
    if runs:
        record, warnings = merge_runs(runs)
        record = {**runs[0].record, **record} if len(runs) == 1 else record
        for warning in warnings:
            _note(f"warning: {warning}")
    methods = list(dict.fromkeys(entry["method"] for entry in record["results"]))
    if len(methods) == 2 and (lines := compare(record, *methods)):
        further.insert(0, difference_table(lines, *methods))
    shots = find_shots(runs, _note)
    if runs and not shots:
        _note("no images are shown: superres test keeps them with --save-images")
    target = args.out or (one.folder if len(args.folders) == 1 else Path()) / "report.html"
    write_text(target, render_report(record, shots, curves, further))
    print(f"written: {target}")
    return 0


def _note(text: str) -> None:
    print(printable(text), file=sys.stderr)


def _changes(folder: Path, known: dict[str, Any]) -> list[Table]:
    """What a training's config has otherwise than the one it was made from."""
    from mmengine.config import Config

    from superres.engine.config.load import load_config
    from superres.engine.config.values import differing
    from superres.evaluation.tables import Table

    resolved = folder / "config.py"
    name = known["config"] or folder.resolve().name
    rows = [[key, "", value] for key, value in known["changes"].items()]
    with contextlib.suppress(UserError):  # one of the user's own: what the command changed
        base = load_config(name)
        if resolved.is_file():
            changed = differing(base, Config.fromfile(resolved), repr)
            rows = [[key, *(value or "" for value in of)] for key, of in changed.items()]
    notes = [] if rows else ["Nothing was changed."]
    return [Table(["key", name, "this training"], rows, title="Changed keys", notes=notes)]
