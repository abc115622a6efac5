"""Score a checkpoint on test sets: tables, results.json, a report to look at.

Exit code 0: all scored; 1: some pictures or sets could not be scored, the others were.
"""

from __future__ import annotations

import argparse
import re

_WANTED = (
    *("out", "save_images", "report", "published", "baseline", "weight_format", "self_ensemble"),
    *("tile", "name_in_tables"),
)
_COMMA = r",(?![^({]*[)}])"  # not one of dict(gt=..., lq=...)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("config", help="path or bare name of the config it was trained with")
    parser.add_argument(
        "checkpoint",
        help="iter_N.pth, best.pth, a published weight file, or one of any network that spandrel "
        "loads: of the config only sets, scale and protocols are used then",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="write results.json, .md, .csv and .tex (and images) there"
    )
    parser.add_argument(
        "--save-images", action="store_true", help="keep the results as OUT/images/SET/xS/NAME.png"
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="write OUT/report.html, to look at every result (implies --save-images)",
    )
    parser.add_argument(
        "--sets",
        nargs="+",
        metavar="SET",
        help="these sets instead of the config's test_sets and val_sets: names, paths, or "
        "\"dict(gt='HR', lq='LR')\"; commas work, too",
    )
    parser.add_argument(
        "--protocols",
        nargs="+",
        metavar="NAME",
        help="score by these instead of each set's usual one: edsr-y, edsr-div2k, classical-y, "
        "mmediting-rgb, mmediting-ssim-bug, super-image, or all",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="beside PSNR and SSIM: ms-ssim, lpips, lpips-vgg, dists, niqe, through optional "
        "libraries, or one of your own (default: the config's metrics)",
    )
    parser.add_argument("--name", dest="name_in_tables", help="what tables call the method")
    parser.add_argument(
        "--published",
        action="store_true",
        help="the weights are those of the publication that the config names, although the file "
        "cannot tell: show its name and scores",
    )
    parser.add_argument(
        "--baseline",
        choices=("bicubic", "none"),
        default="bicubic",
        help="the row to compare with (default: bicubic)",
    )
    parser.add_argument(
        "--format",
        dest="weight_format",
        help="format of a published weight file that cannot tell it; 'spandrel' leaves it to that",
    )
    parser.add_argument("--self-ensemble", action="store_true", help="average of the eight views")
    parser.add_argument(
        "--tile", default=None, metavar="auto|N|edsr-chop|off", help="tiles for large pictures"
    )
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm"),
        help="how the processes were started; default: the config's launcher, else none",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change the config, e.g. test_sets=[Set5,Set14]",
    )
    parser.add_argument("--local-rank", "--local_rank", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Test; see the engine."""
    from superres.engine.entry import test

    def split(texts: list[str] | None) -> list[str] | None:
        parts = [part.strip() for text in texts or () for part in re.split(_COMMA, text)]
        return [part for part in parts if part] or None

    metrics = split(args.metrics)
    options = [*args.cfg_options, *([f"metrics={metrics!r}"] if metrics else [])]
    wanted = {key: getattr(args, key) for key in _WANTED}
    wanted |= {"sets": split(args.sets), "protocols": split(args.protocols)}
    return test(args.config, args.checkpoint, args.launcher, options, **wanted)
