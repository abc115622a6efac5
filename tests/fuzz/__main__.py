"""Fuzz for a given time, print a table and write it as JSON.

python -m tests.fuzz --minutes 10 --target images
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

from tests.fuzz import guided
from tests.fuzz.engine import Outcome, fuzz
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Exit code 1 where there is a find."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=6, help="in all (default 6)")
    parser.add_argument("--target", nargs="+", choices=TARGETS, default=[*TARGETS])
    parser.add_argument("--seed", type=int, help="of the mutations (default: drawn, and printed)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default docs/results/fuzz.json")
    parser.add_argument("--finds", type=Path, default=Path("work_dirs/fuzz"), help="for inputs")
    parser.add_argument("--random", action="store_true", help="without atheris")
    args = parser.parse_args()
    seed = random.SystemRandom().randrange(2**31) if args.seed is None else args.seed
    use = guided.guided if guided.available() and not args.random else fuzz
    how = "atheris" if use is guided.guided else "random mutation"
    print(f"seed {seed}, {how}", flush=True)
    outcomes = []
    line = "{:<12} {:>9} {:>8} {:>8} {:>9} {:>6}"
    print(line.format("target", "inputs", "seconds", "kinds", "coverage", "finds"))
    for name in args.target:
        seconds = 60 * args.minutes / len(args.target)
        found = use(name, seconds=seconds, seed=seed, keep=args.finds)
        outcomes.append(found)
        covered = "-" if found.coverage is None else found.coverage
        cells = (name, found.inputs, f"{found.seconds:.0f}", len(found.kinds), covered)
        print(line.format(*cells, len(found.finds)), flush=True)
        for kind, where in found.finds.items():
            print(f"  {kind}: {where}", flush=True)
    path = args.json or Path(__file__).resolve().parents[2] / "docs/results/fuzz.json"
    _write(path, how, outcomes)
    return 1 if any(found.finds for found in outcomes) else 0


def _write(path: Path, how: str, outcomes: list[Outcome]) -> None:
    """Adds to what the file has: a run of one target keeps the others' lines."""
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    for found in outcomes:
        runs.append(
            {
                "target": found.target,
                "how": how,
                "seed": found.seed,
                "seconds": round(found.seconds),
                "inputs": found.inputs,
                "kinds": len(found.kinds),
                "coverage": found.coverage,
                "finds": sorted(found.finds),
            }
        )
    path.write_text(json.dumps({"schema": 1, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
