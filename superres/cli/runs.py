"""List trainings: name, iterations, best score, config and what was changed in it.

It reads log.jsonl of each work dir. "best" is the highest PSNR on the first validation set, with
its protocol; "changed" is what the training's command changed of its config (by --cfg-options).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from superres.cli._options import print_columns
from superres.errors import UserError
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
    runs, code = [], 0
    for log in sorted(logs):
        try:
            runs.append(read_log(log, log.parent.relative_to(args.folder)))
        except UserError as error:
            print(printable(f"not listed: {error}"), file=sys.stderr)
            code = 1
    runs.sort(key=lambda training: training["psnr"] or 0)
    print(json.dumps(runs, indent=2)) if args.json else print_columns([_HEAD, *map(_row, runs)])
    return code


def read_log(log: Path, name: Path) -> dict[str, Any]:
    """Read a training's log.jsonl.

    Args:
        log: the file.
        name: what to call the training.

    Returns:
        ``run`` (its name), ``iterations``, ``config``, ``changes`` (config key -> new value), and
        the best ``psnr`` in dB, or None, with its ``set``, ``scale`` and ``protocol``.

    Raises:
        UserError: a line cannot belong to the log of a training.
    """
    found = {"run": str(name), "iterations": 0, "psnr": None, "config": None, "changes": {}}
    # What stands behind the last line break is empty, or a line that is being written now.
    for number, text in enumerate(log.read_text("utf-8").split("\n")[:-1], 1):
        try:
            line = json.loads(text)
            found["iterations"] = line.get("iter", found["iterations"])
            if "changes" in line:
                found |= {"config": line["config"], "changes": line["changes"]}
            first = next(iter(line.get("results") or [{}]))  # of a validation, its first set
            if (first.get("psnr") or 0) > (found["psnr"] or 0):
                found |= {k: first[k] for k in ("psnr", "set", "scale", "protocol")}
        except (ValueError, AttributeError, KeyError, TypeError):
            raise UserError(f"{log}: line {number} is not of a training's log") from None
    return found


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    """A training from `read_log` as the cells of a line."""
    best = "-"
    if run["psnr"]:
        best = f"{run['psnr']:.2f} {run['set']} x{run['scale']} ({run['protocol']})"
    changed = " ".join(f"{key}={value}" for key, value in run["changes"].items())
    return run["run"], str(run["iterations"]), best, run["config"] or "-", changed or "-"
