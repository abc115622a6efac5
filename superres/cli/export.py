"""Write a network for another program: onnx, torchscript, openvino, safetensors, spandrel.

The file takes pictures of any size. It is run on pictures before it is kept, and replaces OUT
only if the result is that of the original network.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from superres.options import whole_scale


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        choices=("onnx", "torchscript", "openvino", "safetensors", "spandrel"),
        help="onnx, torchscript, openvino, safetensors (for superres), spandrel (for ComfyUI, "
        "chaiNNer and others after superres.interop.spandrel.install())",
    )
    parser.add_argument("weights", metavar="WEIGHTS", help="a weight file, or a name")
    parser.add_argument("out", metavar="OUT", type=Path, help="the file to write")
    parser.add_argument(
        "--scale",
        type=whole_scale,
        metavar="S",
        help="of a network for several, or where the file cannot tell",
    )
    parser.add_argument("--format", help="of WEIGHTS, where its keys alone cannot tell")
    parser.add_argument(
        "--res-scale", type=float, metavar="R", help="residual scale, which no file holds"
    )
    parser.add_argument(
        "--uint8",
        nargs="?",
        const="nhwc",
        choices=("nhwc", "nchw"),
        help="a program on 8-bit pictures; nhwc (the default) is how decoders give them",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")


def run(args: argparse.Namespace) -> int:
    """Export, and say what was checked."""
    from superres.errors import UserError
    from superres.export import export

    if os.path.isfile(args.out) and not args.overwrite:
        raise UserError(f"{args.out} is there already; --overwrite replaces it")
    hints = {} if args.res_scale is None else {"res_scale": args.res_scale}
    done = export(
        args.weights,
        args.out,
        args.target,
        scale=args.scale,
        format=args.format,
        uint8=args.uint8,
        **hints,
    )
    print(done.source)
    found = (
        f"{done.difference:.2%} of the 8-bit samples differ from the original's, by one step"
        if args.uint8
        else f"its output differs from the original's by {done.difference:.1e} of the range"
    )
    print(f"written: {done.path} ({done.to}, x{done.scale}); run on two pictures: {found}")
    return 0
