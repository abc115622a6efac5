"""The command ``superres`` as the pages' blocks run it: trainings are cut to two iterations.

Nothing else is changed. Where the weights ``edsr-s`` did not come with the checkout, untrained ones
of the same form stand in for them (``SUPERRES_DOCS_WEIGHTS`` names their folder).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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


def shortened(argv: list[str]) -> list[str]:
    """A command line for two iterations of a small network, if it trains or tests one."""
    command = argv[0] if argv else ""
    if command not in ("train", "test") or "-h" in argv or "--help" in argv:
        return argv
    from superres.engine.config.load import load_config

    config = load_config(argv[1])
    backbone = config.model.backbone
    options = [f"model.backbone.{k}={v}" for k, v in zip(NETWORK, (8, 1)) if k in backbone]
    if command == "train":
        options += [f"{key}={value}" for key, value in SHORT.items() if key in config]
    return [*argv, "--cfg-options", *options] if options else argv


def stand_in() -> None:
    """Use the folder of stand-in weights, if there is one."""
    folder = os.environ.get("SUPERRES_DOCS_WEIGHTS")
    if folder:
        from superres.checkpoints import shipped

        shipped.WEIGHTS = Path(folder)


def run(argv: list[str]) -> int:
    """`superres ARGV`."""
    from superres.cli.main import main

    stand_in()
    return main(shortened(argv))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(run(sys.argv[1:]))
