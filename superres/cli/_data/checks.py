"""`superres data verify`, `fingerprint` and `browse`: a look at sets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from superres.cli._data.common import Record, command, workers
from superres.cli._options import config_options
from superres.options import scales, whole, whole_scale


def add_arguments(commands: Any) -> None:
    """The three subcommands."""
    parser = command(commands, "verify", _verify)
    parser.add_argument("dir", type=Path, metavar="DIR", help="a set, or a folder of sets")
    parser.add_argument(
        "--scale", type=scales, metavar="S", help="e.g. 2 or 2,4; default: those that are there"
    )
    text = "test sets: none of their images may occur in DIR"
    parser.add_argument("--against", type=Path, nargs="+", default=[], metavar="DIR", help=text)
    text = "images that the set must have"
    parser.add_argument("--count", type=whole(1), metavar="N", help=text)
    parser.add_argument("--allow-partial", action="store_true", help="an incomplete set is fine")
    text = "any: don't judge how LR was made; else a name that fingerprint prints"
    parser.add_argument("--degradation", default="auto", metavar="any|NAME", help=text)
    workers(parser)

    parser = command(commands, "fingerprint", _fingerprint)
    parser.add_argument("lq", type=Path, metavar="LR", help="folder, LMDB or image")
    parser.add_argument("gt", type=Path, metavar="HR", help="folder, LMDB or image")
    parser.add_argument("--scale", type=whole_scale, required=True, metavar="S")
    text = "look at the first N images only"
    parser.add_argument("--limit", type=whole(1), metavar="N", help=text)
    workers(parser)

    parser = command(commands, "browse", _browse)
    parser.add_argument("config", metavar="CONFIG")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="default: CONFIG_browse.png")
    parser.add_argument("--count", type=whole(1), default=24, metavar="N", help="of samples (24)")
    text = "start there (0)"
    parser.add_argument("--iteration", type=whole(0), default=0, metavar="I", help=text)
    parser.add_argument("--seed", type=int, metavar="N", help="instead of the config's")
    config_options(parser)


def _verify(args: argparse.Namespace) -> Record:
    """Check that sets are complete, whole, paired, exactly bicubic, and leak no test image.

    Counts, names, decoding, checksums, channels, depth, sizes, whether LR is MATLAB's bicubic of
    HR, images that occur twice, training images that occur in a test set. Exit code 1 where
    there are errors.
    """
    from superres.cli._data.tables import print_verification
    from superres.cli._progress import Progress
    from superres.datasets.verify import verify

    names = ("against", "count", "allow_partial", "degradation", "num_workers")
    with Progress() as bar:
        options = {name: getattr(args, name) for name in names}
        record = verify(args.dir, args.scale, **options, step=bar.step)
    print_verification(record)
    faults = {p["fault"] for one in record["sets"] for p in one["problems"]}
    return {**record, "code": 2 if "unreadable" in faults else int(not record["ok"])}


def _fingerprint(args: argparse.Namespace) -> Record:
    """Tell which known convention made low-quality images: MATLAB, ports of it, PIL, OpenCV.

    For each convention the number of samples that differ and the largest difference; one that
    differs nowhere made the images.
    """
    from superres.cli._data.tables import print_fingerprint
    from superres.cli._progress import Progress
    from superres.datasets.fingerprint import fingerprint

    with Progress() as bar:
        options = {"limit": args.limit, "num_workers": args.num_workers}
        progress = bar.step("comparing")
        record = fingerprint(args.lq, args.gt, args.scale, **options, progress=progress)
    print_fingerprint(record)
    return record


def _browse(args: argparse.Namespace) -> Record:
    """Draw a contact sheet of what the network sees after the pipeline.

    The very samples of iteration I and the following ones, with the config's seed.
    """
    from superres.datasets.browse import contact_sheet, first_pairs
    from superres.datasets.joined import build_dataset
    from superres.engine.config.check import check_config
    from superres.engine.config.load import load_config
    from superres.engine.config.values import blame

    options = args.cfg_options + ([f"seed={args.seed}"] if args.seed is not None else [])
    cfg = load_config(args.config, options)
    check_config(cfg)
    seed = cfg.seed or 0
    node = {**cfg.train_dataloader["dataset"], "seed": seed}
    with blame("train_dataloader.dataset", node):
        dataset = build_dataset(node)
    pairs = first_pairs(dataset, cfg.global_batch_size, seed, args.iteration, args.count)
    out = args.out or Path(f"{Path(args.config).stem}_browse.png")
    contact_sheet(pairs, out)
    print(f"{out}: {len(pairs)} samples from iteration {args.iteration} on, seed {seed}")
    return {"sheet": str(out), "samples": [pair["meta"]["name"] for pair in pairs]}
