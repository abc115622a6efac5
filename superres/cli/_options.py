"""Options that several commands take. Imports nothing heavy."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superres.options import whole_scale
from superres.output import printable

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
    add("-s", "--scale", type=whole_scale, metavar="S", help=text)
    add("--format", help=f"of {name}, where its keys alone cannot tell")
    add("--res-scale", type=float, metavar="R", help="residual scale, which no file holds")


def of_weights(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of :func:`superres.checkpoints.read_weights` for them."""
    hints = {} if args.res_scale is None else {"res_scale": args.res_scale}
    return {"scale": args.scale, "format": args.format, **hints}


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print a table of short texts; the first row is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(text.ljust(n) for text, n in zip(row, widths, strict=True))
        print(printable(line.rstrip()))


def what_next(*commands: list[str | Path]) -> None:
    """Print the commands that usually follow, of several processes in the first."""
    if (os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0") == "0":
        lines = (shlex.join(map(str, ["superres", *words])) for words in commands)
        print("next:", *lines, sep="\n  ", flush=True)


def after_training(folder: Path, *, test: bool = True) -> None:
    """Print what is done with the best checkpoint of a work dir, where it has one."""
    best = folder / "best.pth"
    if best.is_file():
        score = ["test", folder / "config.py", best, "--out", folder / "test"]
        what_next(*[score] * test, ["upscale", "photo.jpg", "-m", best], ["runs", folder.parent])
