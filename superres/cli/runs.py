"""List trainings: name, iterations, best score, config and what was changed in it.

It reads log.jsonl of each work dir. "best" is the highest PSNR on the first validation set, with
its protocol; "changed" is what the training's command changed of its config (by --cfg-options).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from superres.cli._options import print_columns
from superres.errors import UserError
from superres.evaluation.curves import log_lines
from superres.output import printable

_HEAD = ("run", "iterations", "best, dB", "config", "changed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    text = "a work dir, or a folder of work dirs (default: work_dirs)"
    parser.add_argument("folder", nargs="?", type=Path, default=Path("work_dirs"), help=text)
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Print a line per training, the best one last."""
    logs = [p for p in args.folder.rglob("log.jsonl") if "previous_runs" not in p.parts]
    if not logs:
        raise UserError(f"{args.folder}: no trainings here (a work dir has a log.jsonl)")
    runs = []
    for log in sorted(logs):
        lines = log_lines(log, lambda text: print(printable(text), file=sys.stderr))
        runs.append(training_of(lines, str(log.parent.relative_to(args.folder))))
    runs.sort(key=lambda training: training["psnr"] or 0)
    print(json.dumps(runs, indent=2)) if args.json else print_columns([_HEAD, *map(_row, runs)])
    return 0


def training_of(lines: Iterable[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """What the log of a training tells.

    Args:
        lines: of :func:`superres.evaluation.curves.log_lines`.
        name: what to call the training.

    Returns:
        ``run`` (its name), ``iterations``, ``config``, ``changes`` (config key -> new value), and
        the best ``psnr`` in dB, or None, with its ``set``, ``scale`` and ``protocol``.
    """
    found = {"run": name, "iterations": 0, "psnr": None, "config": None, "changes": {}}
    for line in lines:
        found["iterations"] = line.get("iter", found["iterations"])
        if "changes" in line:
            found |= {"config": line["config"], "changes": line["changes"]}
        first = next(iter(line.get("results") or [{}]))  # of a validation, its first set
        if (first.get("psnr") or 0) > (found["psnr"] or 0):
            found |= {k: first[k] for k in ("psnr", "set", "scale", "protocol")}
    return found


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    """A training from `read_log` as the cells of a line."""
    best = "-"
    if run["psnr"]:
        best = f"{run['psnr']:.2f} {run['set']} x{run['scale']} ({run['protocol']})"
    changed = " ".join(f"{key}={value}" for key, value in run["changes"].items())
    return run["run"], str(run["iterations"]), best, run["config"] or "-", changed or "-"
