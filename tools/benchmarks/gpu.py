"""What one GPU makes of the training step: checks and timings in stages, each with a time limit.

    python tools/benchmarks/gpu.py --photos BUNDLE/photos --out RESULTS

runs the stages ``pack ladder checks loop train``, or those that are named, without a network.
docs/scaling.md says how to bring what the machine with the GPU lacks. Each stage writes
``RESULTS/STAGE.json`` after every check, so that whatever ends it, the results up to there stay.
Each check runs in a process of its own: one that dies or hangs costs only itself. ``--rehearse``
runs everything on a CPU, with small numbers.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("pack", "ladder", "checks", "loop", "train")
WRONG = ("differs", "failed")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = made.add_argument
    add("stages", nargs="*", metavar="STAGE", help=f"{', '.join(STAGES)} (all)")
    add("--work", type=Path, help="for data and trainings (work_dirs/gpu)")
    add("--out", type=Path, help="for the results (WORK/out)")
    add("--photos", type=Path, help="training photographs; else scikit-image's")
    add("--limit", type=float, default=240, help="seconds of a stage (%(default)s)")
    add("--minutes", type=float, default=4, help="of the stage train (%(default)s)")
    add("--cfg-options", nargs="+", action="extend", default=[], help="for the stage train")
    add("--rehearse", action="store_true", help="on a CPU, with small numbers")
    return made


def main(argv: list[str] | None = None) -> int:
    """Run the stages; returns 1 where a check failed, 2 for a mistake in the arguments."""
    args = parser().parse_args(argv)
    args.work = args.work or Path(f"work_dirs/gpu{'-rehearsal' * args.rehearse}")
    args.out = args.out or args.work / "out"
    stages = args.stages or [*STAGES]
    wrong = [f"no such stage: {s}" for s in stages if s not in STAGES]
    wrong += [f"no such folder: {f}" for f in (args.photos,) if f and not f.is_dir()]
    if wrong:
        parser().error(wrong[0])
    os.environ |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}  # of what is started
    sys.path.insert(0, str(ROOT))
    from benchmarks._gpu_run import run_stage

    if not (args.work / "data" / "pack.json").is_file():
        stages = ["pack", *(s for s in stages if s != "pack")]
    args.out.mkdir(parents=True, exist_ok=True)
    return summary([(s, run_stage(s, args)) for s in stages])


def summary(results: list[tuple[str, dict[str, Any]]]) -> int:
    """Print how many checks went how, and those that went wrong; returns the exit code."""
    found = [(c["outcome"], s, c) for s, record in results for c in record["checks"]]
    counts = Counter(outcome for outcome, *_ in found)
    print("\n" + ", ".join(f"{counts[word]} {word}" for word in ("ok", "skipped", *WRONG)))
    for outcome, stage, check in found:
        if outcome in WRONG:
            print(f"  {stage}: {check['name']}: {outcome}: {check['text']}")
    return int(any(counts[word] for word in WRONG))


if __name__ == "__main__":
    sys.path[0] = str(ROOT / "tools")  # not this folder, whose files have everyday names
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and end what was started
    sys.exit(main())
