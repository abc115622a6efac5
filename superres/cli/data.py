"""Download, prepare, pack, verify and view datasets.

Exit codes: 0 done, 1 some images failed or did not pass a check, 2 a mistake in the command, 130
and 143 interrupted (finished work is kept; run the same command again).
"""

from __future__ import annotations

import argparse

from superres.cli._data import checks, packs, prepare
from superres.cli._data.common import run_and_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands, which each module defines; imports nothing heavy."""
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    for module in (prepare, checks, packs):
        module.add_arguments(commands)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    return run_and_report(args)
