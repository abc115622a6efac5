"""Print a config as it is after inheritance, options and references."""

from __future__ import annotations

import argparse

from superres.cli._options import config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add("config", help="path or bare name")
    config_options(parser)
    add("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    import json

    from superres.engine.config.check import check_config
    from superres.engine.config.load import load_config
    from superres.engine.config.values import to_plain

    cfg = load_config(args.config, args.cfg_options)
    check_config(cfg)
    print(json.dumps(to_plain(cfg), indent=2) if args.json else cfg.pretty_text)
    return 0
