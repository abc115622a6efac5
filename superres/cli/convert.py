"""Convert weights between formats, and check the result by running both networks.

Reads every format that `superres test` reads; writes safetensors (ours, with the network's config
inside) or the files of EDSR-PyTorch, MMEditing, BasicSR, super-image and others.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from superres.cli._options import of_weights, weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add("source", metavar="IN", help="a weight file, or a published name")
    add("target", type=Path, metavar="OUT", help="the file to write")
    add("--to", metavar="FORMAT", help="default for *.safetensors: safetensors")
    weights(parser, "IN")
    add("--force", action="store_true", help="replace OUT if it is there")


def run(args: argparse.Namespace) -> int:
    """Convert, and say what was recognised, folded and found."""
    from superres.checkpoints import convert
    from superres.errors import UserError

    if os.path.exists(args.target) and not args.force:
        raise UserError(f"{args.target} is there already; --force replaces it")
    done = convert(args.source, args.target, args.to, **of_weights(args))
    print("\n  ".join([done.source, *done.notes]))
    print(
        f"written: {done.path} ({done.format}); read back, its output differs by "
        f"{done.difference:.1e} of the largest value"
    )
    return 0
