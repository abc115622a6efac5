"""Prepare, pack, verify and look at data sets.

Exit codes: 0 done, 1 some images failed or are not as they should be, 2 a mistake, 130 and 143
interrupted (what was done is kept; run the same command again).
"""

from __future__ import annotations

import argparse

from superres.cli._data import checks, download, images, packs, prepare
from superres.cli._data.common import run_and_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand each; this imports nothing heavy."""
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    for group in (download, prepare, checks, packs, images):
        group.add_arguments(commands)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; gives the exit code."""
    return run_and_report(args)
