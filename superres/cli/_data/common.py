"""What the subcommands of `superres data` share: their parser, report and exit code."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from superres.errors import UserError
from superres.files import write_text
from superres.options import whole
from superres.output import printable

Record = dict[str, Any]
"""What a subcommand reports; ``failed`` are (image, what is wrong), ``code`` is the exit code."""


def command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], Record]
) -> argparse.ArgumentParser:
    """Add a subcommand; its help is the docstring of its function."""
    text = inspect.cleandoc(function.__doc__ or "")
    parser = commands.add_parser(
        name,
        help=text.splitlines()[0],
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=function)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report here too")
    return parser


def workers(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--num-workers``."""
    parser.add_argument(
        "--num-workers",
        type=whole(0),
        metavar="N",
        help="threads (default: one per CPU)",
    )


def run_and_report(args: argparse.Namespace) -> int:
    """Run a subcommand, print what failed, write its report (``--json``); returns the exit code.

    Raises:
        UserError: --json names a place that cannot be written to (checked first), or the subcommand
            raised it.
    """
    path = args.json
    if path and (path.is_dir() or not os.access(path.parent, os.W_OK)):
        raise UserError(f"--json: {path} is a folder, or lies in one that cannot be written to")
    record = args.function(args)
    failed = record.get("failed", [])
    code = record.pop("code", int(bool(failed)))
    for name, fault in failed:
        print(printable(f"left out: {name}: {fault}"), file=sys.stderr)
    if path:
        if "failed" in record:
            record["failed"] = [{"name": name, "fault": fault} for name, fault in failed]
        record = {"schema": 1, "command": args.subcommand, **record}
        write_text(path, json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n")
    return code


def pack_record(report: Any) -> Record:
    """Print a :class:`superres.datasets.pack.PackReport`; returns its attributes for the report."""
    for note in report.notes:
        print(printable(f"note: {report.target}: {note}"))
    print_pack(vars(report))
    return vars(report)


def print_pack(pack: Record) -> None:
    """Print one line on a pack: images, how many are new, size, time."""
    made = f" ({pack['made']})" if "made" in pack else ""
    print(
        f"{pack['target']}: {pack['count']} images{made}, {pack['added']} new, "
        f"{pack['bytes'] / 2**20:.1f} MiB, {pack['seconds']:.1f} s"
    )
