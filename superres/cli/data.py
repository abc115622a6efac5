"""Prepare, pack, verify and look at data sets.

Exit codes: 0 done, 1 some pictures failed or are not as they should be, 2 a mistake, 130 and 143
interrupted (what was done is kept; run the same command again).
"""

from __future__ import annotations

import argparse
import signal
import sys

from superres.cli._data import checks, packs, pictures, prepare
from superres.cli._data.common import check_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand each; this imports nothing heavy."""
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    for group in (prepare, checks, packs, pictures):
        group.add_arguments(commands)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; gives the exit code."""

    def terminate(*_: object) -> None:
        raise _Terminated

    check_json(getattr(args, "json", None))
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        return args.function(args)
    except _Terminated:
        print("terminated; run the same command again to go on", file=sys.stderr)
        return 143
    finally:
        signal.signal(signal.SIGTERM, before)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, unwound like Ctrl-C so that what is done is saved."""
