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
    text = "a results.json or its folder; NAME is its method's name in the table"
    add("results", nargs="+", metavar="[NAME=]RESULTS", help=text)
    add("--format", choices=FORMATS, default="terminal", help="default: terminal")
    add("--out", type=Path, metavar="FILE", help="write to FILE instead")
    text = "only these (default: all in the results)"
    add("--protocol", nargs="+", metavar="NAME", help=text)
    text = "mean of A - B over the images (default: the two methods, if there are two)"
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
    cells = compare(record, *pair) if pair else []
    tables = [*result_tables(record), *([difference_table(cells, *pair)] if cells else [])]
    if args.format == "csv":
        text = render.csv_text(entries_of(record), record.get("metrics") or ())
    elif args.format == "json":
        more = {"comparison": {"first": pair[0], "second": pair[1], "cells": cells}} if pair else {}
        text = as_json({"schema": 1, **record, **more})
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
    """Read an argument of the command.

    Args:
        text: ``[NAME=]PATH`` of a results.json or its folder; NAME renames its method.
        optional: return an empty run for a folder without results.json, instead of raising.

    Raises:
        UserError: the file is missing or is not a results.json.
    """
    from superres.evaluation.merge import Run
    from superres.evaluation.results import read_results

    name, equals, path = text.partition("=")
    if not equals or Path(text).exists():  # the path itself may hold a "="
        name, path = "", text
    if optional and Path(path).is_dir() and not (Path(path) / "results.json").exists():
        return Run(path, {"results": [], "protocols": {}}, name or None)
    return Run(path, read_results(path), name or None)


def _only(record: dict[str, Any], protocols: list[str]) -> dict[str, Any]:
    """The record without entries of other protocols; UserError if it has none of one of these."""
    for name in protocols:
        if name not in record["protocols"]:
            known = ", ".join(record["protocols"])
            raise UserError(f"--protocol: nothing here was scored by {name!r}, but by {known}")
    chosen = {
        key: [entry for entry in record[key] if entry["protocol"] in protocols]
        for key in ("baselines", "results")
    }
    return {**record, **chosen}
