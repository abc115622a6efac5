"""Train a network from a config."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "config", help="path of a config, or a bare name such as edsr_x4c64b16_g1_300k_div2k"
    )
    parser.add_argument("--work-dir", metavar="DIR", help="default: work_dirs/<config name>")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|PATH",
        help="continue from the newest whole checkpoint of the work dir, or from PATH",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="instead of the config's")
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument(
        "--deterministic", action="store_true", help="equal bits in equal runs, also on a GPU"
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="multiply the learning rate by global_batch_size / auto_scale_lr.base_batch_size",
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
        help="change the config, e.g. scale=2 data_root=data test_sets=[Set5,Set14]",
    )
    parser.add_argument(
        "--trace", metavar="FILE", help="append what each iteration saw and gave, as JSON lines"
    )
    # Older torchrun versions and mmengine's scripts pass it; the environment says the same.
    parser.add_argument("--local-rank", "--local_rank", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Train; see the engine."""
    from superres.engine.entry import train

    return train(
        args.config,
        work_dir=args.work_dir,
        resume=args.resume,
        seed=args.seed,
        amp=args.amp,
        launcher=args.launcher,
        options=args.cfg_options,
        trace=args.trace,
        deterministic=args.deterministic,
        auto_scale_lr=args.auto_scale_lr,
    )
