"""Time until something happens: the import, the help, the first iteration of a config."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import SUPERRES, Variant, measure, python, ratios


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="edsr_x4c64b16_g1_300k_div2k")
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="K=V")


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Start new processes in turn; the files are in the system's cache by then."""
    from benchmarks._training import ALONE, write_images

    write_images(folder, 2, 256)
    train = ["train", args.config, "--work-dir", folder / "work", "--cfg-options", *ALONE]
    train += [f"data_root={folder}", "max_iters=1", "num_workers=0", *args.cfg_options]
    empty, torch, help_ = "python, nothing imported", "import torch", "superres --help"
    own, iteration = "import superres", "superres train, one iteration"
    commands = {empty: ["-c", "pass"], torch: ["-c", torch], own: ["-c", own],
                help_: [*SUPERRES, "--help"], iteration: [*SUPERRES, *train]}  # fmt: skip
    calls = {name: partial(python, *words) for name, words in commands.items()}
    rows = measure([Variant(name, call, 1, "s") for name, call in calls.items()], args.repeats)
    found = ratios(rows, (own, empty), (help_, empty), (iteration, torch))
    return {"rows": rows, "ratios": found, "setup": {"config": args.config}}
