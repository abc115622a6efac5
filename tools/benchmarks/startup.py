"""Time until something happens: the import, the help, the first iteration of a config."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Variant, environment, measure, ratio, report
from superres.errors import UserError

EMPTY = "python, nothing imported"
TORCH = "import torch"
IMPORT = "import superres"
HELP = "superres --help"
ITERATION = "superres train, one iteration"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="edsr_x4c64b16_g1_300k_div2k")
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="K=V")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Start processes, each anew, in turn; the files are in the system's cache by then."""
    from benchmarks import _training as tools

    entry = "import sys; from superres.cli.main import main; sys.exit(main(sys.argv[1:]))"
    with tempfile.TemporaryDirectory(prefix="superres-startup-") as folder:
        tools.write_images(Path(folder), 2, 256)
        train = ["train", args.config, "--work-dir", f"{folder}/work", "--cfg-options",
                 f"data_root={folder}", "train_set=train", "val_sets=[]", "test_sets=[]",
                 "max_iters=1", "num_workers=0", "tensorboard=False",
                 *args.cfg_options]  # fmt: skip
        commands = {
            EMPTY: ["-c", "pass"],
            TORCH: ["-c", "import torch"],
            IMPORT: ["-c", "import superres"],
            HELP: ["-c", entry, "--help"],
            ITERATION: ["-c", entry, *train],
        }
        variants = [Variant(n, partial(_start, n, c), 1, "s") for n, c in commands.items()]
        rows = measure(variants, args.repeats)
    ratios = {
        f"{IMPORT} / {EMPTY}": ratio(rows, IMPORT, EMPTY),
        f"{HELP} / {EMPTY}": ratio(rows, HELP, EMPTY),
        f"{ITERATION} / {TORCH}": ratio(rows, ITERATION, TORCH),
    }
    return report("startup", rows, ratios, setup={"config": args.config})


def _start(name: str, arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment()
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines() or [f"code {done.returncode}"]
        raise UserError(f"benchmark startup: {name} failed: {last[-1]}")
