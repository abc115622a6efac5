"""``superres benchmark NAME``: run one of the benchmarks in ``superres/benchmarks``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
from pathlib import Path

import superres.benchmarks
from superres.benchmarks import harness
from superres.errors import UserError


def benchmark_names() -> list[str]:
    """The modules in the folder, sorted."""
    found = (module.name for module in pkgutil.iter_modules(superres.benchmarks.__path__))
    return sorted(name for name in found if name != "harness" and not name.startswith("_"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand per benchmark, with its own options and the common ones."""
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    for name in benchmark_names():
        module = importlib.import_module(f"superres.benchmarks.{name}")
        summary = (module.__doc__ or "").strip().partition("\n")[0]
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
        command.add_argument(
            "--repeats",
            type=int,
            default=harness.MIN_REPEATS,
            help=f"rounds to take the median of, at least {harness.MIN_REPEATS} (the default)",
        )
        module.add_arguments(command)


def run(args: argparse.Namespace) -> int:
    """Run, print, and write the JSON file. Returns 0."""
    if args.repeats < harness.MIN_REPEATS:
        raise UserError(f"--repeats: at least {harness.MIN_REPEATS} are needed, not {args.repeats}")
    if args.json and (args.json.is_dir() or not os.access(args.json.absolute().parent, os.W_OK)):
        raise UserError(f"--json: {args.json} cannot be written; give a file in an existing folder")
    result = importlib.import_module(f"superres.benchmarks.{args.benchmark}").run(args)
    harness.print_report(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0
