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

from superres.options import whole
from superres.output import printable

Record = dict[str, Any]
"""What a subcommand reports; ``failed`` are (name, fault) of pictures, ``code`` an exit code."""


def command(
    commands: Any,
    name: str,
    function: Callable[[argparse.Namespace], Record],
    report: bool = True,
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
    if report:
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
    path = getattr(args, "json", None)
    if path is not None:
        _check_place(path)
    record = args.function(args)
    code = record.pop("code", None)
    failed = record.get("failed", [])
    for name, fault in failed:
        print(printable(f"left out: {name}: {fault}"), file=sys.stderr)
    if path is not None:
        from superres.imaging.io import write_atomically

        if "failed" in record:
            record["failed"] = [{"name": name, "fault": fault} for name, fault in failed]
        record = {"schema": 1, "command": args.subcommand, **record}
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        write_atomically(path, lambda file: file.write(text.encode("utf-8", "surrogateescape")))
    return int(bool(failed)) if code is None else code


def _check_place(path: Path) -> None:
    from superres.errors import UserError

    if path.is_dir():
        raise UserError(f"--json: {path} is a folder, give a file in it")
    if not path.parent.is_dir():
        raise UserError(f"--json: {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"--json: {path}: no permission to write into {path.parent}")


def pack_record(report: Any) -> Record:
    """Print what a :class:`superres.datasets.pack.PackReport` says; gives it for JSON."""
    for note in report.notes:
        print(printable(f"note: {report.target}: {note}"))
    print(
        f"{report.target}: {report.count} pictures, {report.added} new, "
        f"{report.bytes / 2**20:.1f} MiB, {report.seconds:.1f} s"
    )
    return vars(report) | {"target": str(report.target), "seconds": round(report.seconds, 3)}
