"""Options that several commands take. Imports nothing heavy."""

from __future__ import annotations

import argparse
from typing import Any

from superres.options import whole_scale

PROTOCOLS = (
    "edsr-y, edsr-div2k, classical-y, mmediting-rgb, mmediting-ssim-bug, super-image, or all"
)
METRICS = """beside PSNR and SSIM: ms-ssim, lpips, lpips-vgg, dists, niqe, through optional
libraries, or one of your own"""


def config_options(parser: argparse.ArgumentParser) -> None:
    """``--cfg-options``."""
    text = "change the config, e.g. scale=2 data_root=data test_sets=[Set5,Set14]"
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=text
    )


def launcher(parser: argparse.ArgumentParser) -> None:
    """How several processes were started."""
    text = "how the processes were started; default: the config's launcher, else none"
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), help=text)
    # Older torchrun versions and mmengine's scripts pass it; the environment says the same.
    parser.add_argument("--local-rank", "--local_rank", type=int, help=argparse.SUPPRESS)


def weights(parser: argparse.ArgumentParser, name: str) -> None:
    """What a weight file cannot tell itself; ``name`` is what the command's help calls it."""
    add = parser.add_argument
    text = f"of {name}: for several, or where the file cannot tell"
    add("--scale", type=whole_scale, metavar="S", help=text)
    add("--format", help=f"of {name}, where its keys alone cannot tell")
    add("--res-scale", type=float, metavar="R", help="residual scale, which no file holds")


def of_weights(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of :func:`superres.checkpoints.read_weights` for them."""
    hints = {} if args.res_scale is None else {"res_scale": args.res_scale}
    return {"scale": args.scale, "format": args.format, **hints}
