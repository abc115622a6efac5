"""`superres data verify` and `fingerprint`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from superres.cli._data.common import Record, command, workers
from superres.options import scales, whole, whole_scale


def add_arguments(commands: Any) -> None:
    """Both subcommands."""
    _verify_arguments(commands)
    _fingerprint_arguments(commands)


def _verify_arguments(commands: Any) -> None:
    parser = command(commands, "verify", _verify)
    parser.add_argument("dir", type=Path, metavar="DIR", help="a set, or a folder of sets")
    parser.add_argument(
        "--scale", type=scales, metavar="S", help="e.g. 2 or 2,4; default: those that are there"
    )
    parser.add_argument(
        "--against",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="test sets: none of their pictures may occur in DIR",
    )
    parser.add_argument(
        "--count", type=whole(1), metavar="N", help="pictures that the set must have"
    )
    parser.add_argument("--allow-partial", action="store_true", help="an incomplete set is fine")
    parser.add_argument(
        "--degradation",
        default="auto",
        metavar="any|NAME",
        help="any: don't judge how LR was made; else a name that fingerprint prints",
    )
    workers(parser)


def _verify(args: argparse.Namespace) -> Record:
    """Check that sets are complete, whole, paired, exactly bicubic, and leak no test picture.

    Counts, names, decoding, checksums, channels, depth, sizes, whether LR is MATLAB's bicubic of
    HR, pictures that occur twice, training pictures that occur in a test set. Exit code 1 where
    there are errors.
    """
    from superres.cli._data.tables import print_verification
    from superres.cli._progress import Progress
    from superres.datasets.verify import verify

    with Progress() as told:
        record = verify(
            args.dir,
            args.scale,
            against=args.against,
            count=args.count,
            allow_partial=args.allow_partial,
            degradation=args.degradation,
            num_workers=args.num_workers,
            step=told.step,
        )
    print_verification(record)
    faults = {p["fault"] for one in record["sets"] for p in one["problems"]}
    return {**record, "code": 2 if "unreadable" in faults else int(not record["ok"])}


def _fingerprint_arguments(commands: Any) -> None:
    parser = command(commands, "fingerprint", _fingerprint)
    parser.add_argument("lq", type=Path, metavar="LR", help="folder, LMDB or picture")
    parser.add_argument("gt", type=Path, metavar="HR", help="folder, LMDB or picture")
    parser.add_argument("--scale", type=whole_scale, required=True, metavar="S")
    parser.add_argument(
        "--limit", type=whole(1), metavar="N", help="look at the first N pictures only"
    )
    workers(parser)


def _fingerprint(args: argparse.Namespace) -> Record:
    """Tell which known convention made low-quality pictures: MATLAB, ports of it, PIL, OpenCV.

    For each convention the number of samples that differ and the largest difference; one that
    differs nowhere made the pictures.
    """
    from superres.cli._data.tables import print_fingerprint
    from superres.cli._progress import Progress
    from superres.datasets.fingerprint import fingerprint

    with Progress() as told:
        record = fingerprint(
            args.lq,
            args.gt,
            args.scale,
            limit=args.limit,
            num_workers=args.num_workers,
            progress=told.step("comparing"),
        )
    print_fingerprint(record)
    return record
