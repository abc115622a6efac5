"""Train a network from a config."""

from __future__ import annotations

import argparse
from pathlib import Path

from superres.cli._options import after_training, config_options, launcher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add("config", help="path of a config, or a bare name such as edsr_x4c64b16_g1_300k_div2k")
    add("--work-dir", metavar="DIR", help="default: work_dirs/<config name>")
    text = "continue from the newest whole checkpoint of the work dir, or from PATH"
    add("--resume", nargs="?", const="auto", metavar="auto|PATH", help=text)
    add("--seed", type=int, metavar="N", help="instead of the config's")
    add("--amp", action="store_true", help="mixed precision")
    text = "equal bits in equal runs, also on a GPU"
    add("--deterministic", action="store_true", help=text)
    text = "multiply the learning rate by global_batch_size / auto_scale_lr.base_batch_size"
    add("--auto-scale-lr", action="store_true", help=text)
    launcher(parser)
    config_options(parser)
    text = "append what each iteration saw and gave, as JSON lines"
    add("--trace", metavar="FILE", help=text)
    text = "only try some iterations, a validation and a checkpoint; say what the training takes"
    add("--check", action="store_true", help=text)


def run(args: argparse.Namespace) -> int:
    """Train; see the engine."""
    from superres.engine.entry import train

    names = ("work_dir", "resume", "seed", "amp", "launcher", "trace", "deterministic", "check")
    options = {name: getattr(args, name) for name in (*names, "auto_scale_lr")}
    folders: list[Path] = []
    code = train(args.config, args.cfg_options, folders.append, **options)
    if not code and folders:
        after_training(folders[0])
    return code
