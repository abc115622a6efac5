"""Write report.html: tables, and every result beside LR, bicubic and HR, in one file.

DIR is what `superres test --out DIR --save-images` or `superres score --out DIR` wrote. The file
needs no network and nothing beside it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from superres.errors import UserError
from superres.output import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="has results.json in it")


def run(args: argparse.Namespace) -> int:
    """Write it; see the engine."""
    if not args.folder.is_dir():
        raise UserError(f"{args.folder} is no folder; give the one that --out named")

    from superres.engine.test.report import write_report

    def warn(text: str) -> None:
        print(printable(f"warning: {text}"), file=sys.stderr)

    path = write_report(args.folder, warn)
    print(f"written: {path} ({path.stat().st_size / 2**20:.1f} MiB)")
    return 0
