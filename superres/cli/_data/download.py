"""`superres data download`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from superres.cli._data.common import Record, command, workers
from superres.cli._data.prepare import prepare_sets
from superres.datasets.download import SETS, download
from superres.options import scales


def add_arguments(commands: Any) -> None:
    parser = command(commands, "download", _download)
    parser.add_argument("name", choices=SETS, metavar="NAME", help=", ".join(SETS))
    parser.add_argument("--out", type=Path, required=True, metavar="TARGET", help="the data_root")
    parser.add_argument(
        "--downloads", type=Path, default=Path("downloads"), metavar="DIR", help="of the archives"
    )
    parser.add_argument("--scales", type=scales, default=(2, 3, 4), help="default: 2,3,4")
    parser.add_argument("--mirror", metavar="URL", help="an address that holds the same files")
    workers(parser)


def _download(args: argparse.Namespace) -> Record:
    """Fetch a published set, then prepare and verify it.

    The archives stay in DIR; an interrupted download is resumed by the same command. Without a
    network it prints the addresses and where the files belong. EDSR's benchmark archive holds
    Set5, Set14, B100 and Urban100, which are prepared together.
    """
    from superres.datasets.prepare import Options

    download(args.name, args.downloads, args.scales, args.mirror)
    options = Options(
        root=args.downloads, out=args.out, scales=args.scales, num_workers=args.num_workers
    )
    return prepare_sets(SETS[args.name].recipe, options)
