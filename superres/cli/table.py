"""Merge the results of several runs into one table.

superres table OUT1 OUT2/results.json ours=OUT3 ...

Rows are methods, columns are sets and scales, one table per protocol. Runs of one method with
different weights are its seeds: mean ± standard deviation. Two methods are also compared image by
image, with the confidence interval of the difference.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superres.errors import UserError
from superres.output import printable

if TYPE_CHECKING:
    from superres.evaluation.merge import Run

FORMATS = ("terminal", "md", "csv", "latex", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    text = "a results.json or its folder; NAME is what to call its method"
    add("results", nargs="+", metavar="[NAME=]RESULTS", help=text)
    add("--format", choices=FORMATS, default="terminal", help="(terminal)")
    add("--out", type=Path, metavar="FILE", help="write there instead")
    text = "only these (default: all that there are)"
    add("--protocol", nargs="+", metavar="NAME", help=text)
    text = "the difference A - B per image (default: where there are two methods, those)"
    add("--compare", nargs=2, metavar=("A", "B"), help=text)


def run(args: argparse.Namespace) -> int:
    """Merge, compare, write."""
    from superres.evaluation import render
    from superres.evaluation.merge import compare, difference_table, merge_runs
    from superres.evaluation.record import entries_of
    from superres.evaluation.results import as_json
    from superres.evaluation.tables import result_tables
    from superres.files import write_text

    record, warnings = merge_runs([read_run(text) for text in args.results])
    for warning in warnings:
        print(printable(f"warning: {warning}"), file=sys.stderr)
    if args.protocol:
        record = _only(record, [p for text in args.protocol for p in text.split(",")])
    methods = list(dict.fromkeys(entry["method"] for entry in record["results"]))
    pair = args.compare or (methods if len(methods) == 2 else None)
    lines = compare(record, *pair) if pair else []
    tables = [*result_tables(record), *([difference_table(lines, *pair)] if lines else [])]
    if args.format == "csv":
        text = render.csv_text(entries_of(record), record.get("metrics") or ())
    elif args.format == "json":
        said = {"comparison": {"first": pair[0], "second": pair[1], "cells": lines}} if pair else {}
        text = as_json({"schema": 1, **record, **said})
    elif args.format == "terminal":
        render.print_tables(tables, shown := io.StringIO() if args.out else sys.stdout)
        text = shown.getvalue() if args.out else ""
    else:
        text = render.markdown(tables) if args.format == "md" else render.latex(tables)
    if args.out is None:
        print(text, end="")
    else:
        write_text(args.out, text)
        print(f"written: {args.out}")
    return 0


def read_run(text: str, optional: bool = False) -> Run:
    """``[NAME=]PATH`` of a results.json or its folder.

    Args:
        optional: a folder without one counts as a run without results.
    """
    from superres.evaluation.merge import Run
    from superres.evaluation.results import read_results

    name, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        name, path = "", text
    if optional and Path(path).is_dir() and not (Path(path) / "results.json").exists():
        return Run(path, {"results": [], "protocols": {}}, name or None)
    return Run(path, read_results(path), name or None)


def _only(record: dict[str, Any], protocols: list[str]) -> dict[str, Any]:
    for name in protocols:
        if name not in record["protocols"]:
            known = ", ".join(record["protocols"])
            raise UserError(f"--protocol: nothing here was scored by {name!r}, but by {known}")
    chosen = {
        key: [entry for entry in record[key] if entry["protocol"] in protocols]
        for key in ("baselines", "results")
    }
    return {**record, **chosen}
