"""Time superres against plain ways to do the same: one benchmark per module of benchmarks/.

python tools/benchmark.py resize [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import harness
from superres.cli.main import exit_code
from superres.errors import UserError

FOLDER = Path(harness.__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("[a-z]*.py") if p.stem not in ("gpu", "harness"))


def main(argv: Sequence[str]) -> int:
    """Run one benchmark, print its tables, and write the JSON file. Returns 0.

    Raises:
        UserError: the JSON file cannot be written, or a process that is timed fails.
    """
    parser = argparse.ArgumentParser(prog="tools/benchmark.py", description=__doc__)
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    for name in NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        command = commands.add_parser(name, help=module.__doc__, description=module.__doc__)
        command.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
        harness.sizes(command, harness.MIN_REPEATS, repeats=harness.MIN_REPEATS)
        command.set_defaults(run=module.run)
        module.add_arguments(command)
    args = parser.parse_args(argv)
    if args.json and not os.access(args.json.absolute().parent, os.W_OK):
        raise UserError(f"--json: {args.json} cannot be written; give a file in an existing folder")
    with tempfile.TemporaryDirectory(prefix="superres-benchmark-") as folder:
        found = args.run(args, Path(folder))
    result = harness.report(args.benchmark, **found)
    harness.print_report(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
