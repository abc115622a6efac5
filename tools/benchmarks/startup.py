"""Time until something happens: the import, the help, the first iteration of a config."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import SUPERRES, Variant, config_arguments, measure, python, ratios

add_arguments = config_arguments


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
