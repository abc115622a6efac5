"""Convert weights between formats, and check the result by running both networks.

Reads every format that `superres test` reads; writes safetensors (ours, with the network's config
inside) or the files of EDSR-PyTorch, MMEditing, BasicSR, super-image and others.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from superres.options import whole_scale


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("source", metavar="IN", help="a weight file, or a published name")
    parser.add_argument("target", type=Path, metavar="OUT", help="the file to write")
    parser.add_argument("--to", metavar="FORMAT", help="default for *.safetensors: safetensors")
    parser.add_argument("--format", help="of IN, where its keys alone cannot tell")
    parser.add_argument("--scale", type=whole_scale, metavar="S", help="of IN, likewise")
    parser.add_argument("--res-scale", type=float, metavar="R", help="of IN, which no file holds")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there")


def run(args: argparse.Namespace) -> int:
    """Convert, and say what was recognised, folded and found."""
    from superres.checkpoints import convert
    from superres.errors import UserError

    if os.path.exists(args.target) and not args.force:
        raise UserError(f"{args.target} is there already; --force replaces it")
    hints = {} if args.res_scale is None else {"res_scale": args.res_scale}
    done = convert(args.source, args.target, args.to, args.format, args.scale, **hints)
    print("\n  ".join([done.source, *done.notes]))
    print(
        f"written: {done.path} ({done.format}); read back, its output differs by "
        f"{done.difference:.1e} of the largest value"
    )
    return 0
