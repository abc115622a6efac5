"""Write a network for another program: onnx, torchscript, openvino, safetensors, spandrel.

The file takes images of any size. It is run on images before it is kept, and replaces OUT
only if the result is that of the original network.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from superres.cli._options import of_weights, weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    targets = ("onnx", "torchscript", "openvino", "safetensors", "spandrel")
    text = f"{', '.join(targets)}: safetensors is for superres, spandrel for ComfyUI, chaiNNer and "
    text += "others after superres.interop.spandrel.install()"
    add("target", metavar="TARGET", choices=targets, help=text)
    add("weights", metavar="WEIGHTS", help="a weight file, or a name")
    add("out", metavar="OUT", type=Path, help="the file to write")
    weights(parser, "WEIGHTS")
    text = "a program on 8-bit images; nhwc (the default) is how decoders give them"
    add("--uint8", nargs="?", const="nhwc", choices=("nhwc", "nchw"), help=text)
    add("--overwrite", action="store_true", help="replace OUT if it is there")


def run(args: argparse.Namespace) -> int:
    """Export, and say what was checked."""
    from superres.errors import UserError
    from superres.export import export

    if os.path.isfile(args.out) and not args.overwrite:
        raise UserError(f"{args.out} is there already; --overwrite replaces it")
    done = export(args.weights, args.out, args.target, uint8=args.uint8, **of_weights(args))
    print(done.source)
    found = (
        f"{done.difference:.2%} of the 8-bit samples differ from the original's, by one step"
        if args.uint8
        else f"its output differs from the original's by {done.difference:.1e} of the range"
    )
    print(f"written: {done.path} ({done.to}, x{done.scale}); run on two images: {found}")
    return 0
