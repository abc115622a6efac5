"""Parts that the subcommands of `superres data` share. Imports nothing heavy."""

from __future__ import annotations

import argparse
import inspect
import json as jsons
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from superres.options import whole
from superres.output import printable


def command(
    commands: Any,
    name: str,
    function: Callable[[argparse.Namespace], int],
    json: bool = True,
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
    if json:
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the report here too")
    return parser


def workers(parser: argparse.ArgumentParser) -> None:
    """The option ``--num-workers``."""
    parser.add_argument(
        "--num-workers",
        type=whole(0),
        metavar="N",
        help="processes; 0: none but this one (default: one per CPU where it is worth it)",
    )


def check_json(path: Path | None) -> None:
    """Refuse a report's place before the work is done that it reports.

    Raises:
        UserError: a folder, one that does not exist above it, no permission.
    """
    if path is None:
        return
    from superres.errors import UserError

    if path.is_dir():
        raise UserError(f"--json: {path} is a folder, give a file in it")
    if not path.parent.is_dir():
        raise UserError(f"--json: {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"--json: {path}: no permission to write into {path.parent}")


def write_json(path: Path | None, record: dict[str, Any]) -> None:
    """Write a report atomically; nothing where there is no path."""
    if path is None:
        return
    from superres.imaging.io import write_atomically

    data = (jsons.dumps(record, indent=2, ensure_ascii=False) + "\n").encode(
        "utf-8", "surrogateescape"
    )
    write_atomically(path, lambda file: file.write(data))


def tell_left_out(failed: Iterable[tuple[str, str]]) -> None:
    """Name the pictures that could not be done, and why."""
    for name, fault in failed:
        print(printable(f"left out: {name}: {fault}"), file=sys.stderr)


def pack_record(report: Any) -> dict[str, Any]:
    """Print what a :class:`superres.datasets.pack.PackReport` says; gives it for JSON."""
    for note in report.notes:
        print(printable(f"note: {report.target}: {note}"))
    print(
        f"{report.target}: {report.count} pictures, {report.added} new, "
        f"{report.bytes / 2**20:.1f} MiB, {report.seconds:.1f} s"
    )
    tell_left_out(report.failed)
    return {
        "target": str(report.target),
        "count": report.count,
        "added": report.added,
        "reused": report.reused,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
        "failed": [{"name": name, "fault": fault} for name, fault in report.failed],
        "notes": report.notes,
    }
