"""`superres data five-crop` and `browse`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from superres.cli._data.common import Record, command, pack_record, workers
from superres.cli._options import config_options
from superres.options import whole, whole_scale


def add_arguments(commands: Any) -> None:
    """Both subcommands."""
    parser = command(commands, "five-crop", _five_crop)
    parser.add_argument("source", type=Path, metavar="HR", help="a set, folder or LMDB")
    parser.add_argument("--out", type=Path, required=True, metavar="TARGET", help="the data_root")
    parser.add_argument("--scale", type=whole_scale, required=True, metavar="S")
    parser.add_argument("--name", metavar="SET", help="of the new set")
    parser.add_argument("--overwrite", action="store_true", help="pack again what is at TARGET")
    workers(parser)

    parser = command(commands, "browse", _browse)
    parser.add_argument("config", metavar="CONFIG")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="default: CONFIG_browse.png")
    parser.add_argument("--count", type=whole(1), default=24, metavar="N", help="of samples (24)")
    text = "start there (0)"
    parser.add_argument("--iteration", type=whole(0), default=0, metavar="I", help=text)
    parser.add_argument("--seed", type=int, metavar="N", help="instead of the config's")
    config_options(parser)


def _five_crop(args: argparse.Namespace) -> Record:
    """Make super-image's five-crop training pairs, offline, into LMDBs.

    Four corners and the centre of every image, half its size; LR by PIL's bicubic.
    """
    from superres.cli._progress import Progress
    from superres.datasets.prepare.five_crop import five_crop

    with Progress() as bar:
        options = {name: getattr(args, name) for name in ("name", "num_workers", "overwrite")}
        reports = five_crop(args.source, args.out, args.scale, **options, step=bar.step)
    return {"packs": [pack_record(report) for report in reports]}


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
