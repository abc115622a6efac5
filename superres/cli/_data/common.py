"""Parts that the subcommands of `superres data` share. Imports nothing heavy."""

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
"""What a subcommand reports; ``failed`` are (name, fault) of images, ``code`` an exit code."""


def command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], Record]
) -> argparse.ArgumentParser:
    """A subcommand whose help is its function's docstring."""
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
    """The option ``--num-workers``."""
    parser.add_argument(
        "--num-workers",
        type=whole(0),
        metavar="N",
        help="threads (default: one per CPU)",
    )


def run_and_report(args: argparse.Namespace) -> int:
    """Run a subcommand, tell what it left out, write its report; gives the exit code.

    Raises:
        UserError: of the subcommand; a place where no report can be written, before anything is
            done.
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
    """Print what a :class:`superres.datasets.pack.PackReport` says; gives it for JSON."""
    for note in report.notes:
        print(printable(f"note: {report.target}: {note}"))
    print_pack(vars(report))
    return vars(report)


def print_pack(pack: Record) -> None:
    """One line of a pack's record."""
    made = f" ({pack['made']})" if "made" in pack else ""
    print(
        f"{pack['target']}: {pack['count']} images{made}, {pack['added']} new, "
        f"{pack['bytes'] / 2**20:.1f} MiB, {pack['seconds']:.1f} s"
    )
