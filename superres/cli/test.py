"""Score a checkpoint on test sets: tables, results.json, a report to look at.

Exit code 0: all scored; 1: some images or sets could not be scored, the others were.
"""

from __future__ import annotations

import argparse
import re

from superres.cli._options import METRICS, PROTOCOLS, config_options, launcher, what_next
from superres.options import whole_scale

_WANTED = (
    *("out", "save_images", "report", "published", "baseline", "weight_format", "self_ensemble"),
    *("tile", "name_in_tables", "scale"),
)
_COMMA = r",(?![^({]*[)}])"  # not one of dict(gt=..., lq=...)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    text = "path or bare name of the config it was trained with; without, the network is the file's"
    add("config", nargs="?", help=text)
    text = "iter_N.pth, best.pth, a published weight file, or one of any network that spandrel "
    add(
        "checkpoint",
        help=text + "loads: of the config only sets, scale and protocols are used then",
    )
    text = "write results.json, .md, .csv and .tex (and images) there"
    add("-o", "--out", metavar="DIR", help=text)
    text = "keep the results as OUT/images/SET/xS/NAME.png"
    add("--save-images", action="store_true", help=text)
    text = "write OUT/report.html, to look at every result (implies --save-images)"
    add("--report", action="store_true", help=text)
    text = "these sets instead of the config's test_sets and val_sets (without a config: Set5 and "
    text += "DIV2K_valid below data): names, paths, or \"dict(gt='HR', lq='LR')\"; commas work, too"
    add("--sets", nargs="+", metavar="SET", help=text)
    text = f"score by these instead of each set's usual one: {PROTOCOLS}"
    add("--protocols", nargs="+", metavar="NAME", help=text)
    text = f"{METRICS} (default: the config's metrics)"
    add("--metrics", nargs="+", metavar="NAME", help=text)
    add("--name", dest="name_in_tables", help="what tables call the method")
    text = "the weights are those of the publication that the config names, although the file "
    add("--published", action="store_true", help=text + "cannot tell: show its name and scores")
    text = "the row to compare with (default: bicubic)"
    add("--baseline", choices=("bicubic", "none"), default="bicubic", help=text)
    text = "format of a published weight file that cannot tell it; 'spandrel' leaves it to that"
    add("--format", dest="weight_format", help=text)
    text = "of a file without a config that cannot tell it"
    add("--scale", type=whole_scale, metavar="S", help=text)
    add("--self-ensemble", action="store_true", help="average of the eight views")
    add("--tile", metavar="auto|N|edsr-chop|off", help="tiles for large images")
    launcher(parser)
    config_options(parser)


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
    code = test(args.config, args.checkpoint, args.launcher, options, **wanted)
    if args.out and code < 2:
        what_next(["table", args.out, "OTHER_RESULTS"])
    return code
