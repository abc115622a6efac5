"""The command ``superres`` as the pages' blocks run it: trainings are cut to two iterations."""

from __future__ import annotations

import sys
from pathlib import Path

NETWORK = ("channels", "num_blocks")  # made small where a config has them
SHORT = {
    "max_iters": 2,
    "val_interval": 2,
    "checkpoint_interval": 1,
    "log_interval": 1,
    "global_batch_size": 2,
    "num_workers": 0,
    "lq_patch_size": 12,
    "tensorboard": False,
}


def shorter(command: str, config: str) -> dict[str, object]:
    """Options for two iterations of a small network, where a command trains or tests one."""
    from superres.engine.config.load import load_config

    cfg = load_config(config)
    options = {f"model.backbone.{k}": v for k, v in zip(NETWORK, (8, 1)) if k in cfg.model.backbone}
    short = {key: value for key, value in SHORT.items() if key in cfg and command == "train"}
    return {**options, **short}


def run(argv: list[str]) -> int:
    """`superres ARGV`, shortened."""
    from superres.cli.main import main

    if argv and argv[0] in ("train", "test") and not {"-h", "--help"} & {*argv}:
        options = [f"{key}={value}" for key, value in shorter(*argv[:2]).items()]
        argv = [*argv, *(["--cfg-options", *options] if options else [])]
    return main(argv)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(run(sys.argv[1:]))
