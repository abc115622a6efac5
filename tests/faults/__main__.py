"""``python -m tests.faults``: the long form, a table of what came of hundreds of faults."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.engine.conftest import ROOT

from .kinds import all_kinds
from .lab import Fault, Lab
from .page import page, table


def main(argv: list[str] | None = None) -> int:
    """Make the faults; 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, metavar="FILE", help="write what came of each fault there, as JSON")
    add("--page", type=Path, metavar="FILE", help="write the table as a page of the docs")
    add("--count", type=int, default=10, metavar="N", help="faults of each kind (10)")
    add("--seed", type=int, metavar="N", help="of all moments and places; default: a new one")
    add("--only", nargs="+", default=[], metavar="KIND", help="kinds whose name has this in it")
    add("--keep", action="store_true", help="go on with the faults that --out holds already")
    args = parser.parse_args(argv)
    kinds = all_kinds()
    wanted = [k for k in kinds if not args.only or any(word in k for word in args.only)]
    record = {"schema": 1, "command": "faults", "seed": args.seed, "seconds": 0.0, "faults": []}
    if args.keep and args.out and args.out.exists():
        record = json.loads(args.out.read_text(encoding="utf-8"))
        if args.seed is None:
            args.seed = record["seed"]
        record["faults"] = [f for f in record["faults"] if f["kind"] not in wanted]
    seed = record["seed"] = random.randrange(10**6) if args.seed is None else args.seed
    print(f"seed {seed}, {len(wanted)} kinds of {args.count} faults each", flush=True)
    started, root = time.monotonic(), Path(tempfile.mkdtemp(prefix="superres-faults-"))
    try:
        lab = Lab(root)
        for name in wanted:
            for number in range(args.count):
                rng = random.Random(f"{seed} {name} {number}")
                fault = one(lab, name, rng, number)
                record["faults"].append(fault.as_dict())
                tell(fault)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    record["seconds"] = round(record["seconds"] + time.monotonic() - started, 1)
    order = list(kinds)
    record["faults"].sort(key=lambda f: order.index(f["kind"]))
    print("\n" + table(record))
    if args.out:
        args.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if args.page:
        args.page.write_text(page(record), encoding="utf-8")
    return int(any(fault["wrong"] for fault in record["faults"]))


def one(lab: Lab, kind: str, rng: random.Random, number: int) -> Fault:
    """One fault; its folders are removed unless something is wrong."""
    before = set(lab.root.iterdir())
    fault = all_kinds()[kind](lab, rng, number)
    if not fault.wrong:
        for folder in set(lab.root.iterdir()) - before:
            if folder.name.startswith("fault"):
                shutil.rmtree(folder)
    return fault


def tell(fault: Fault) -> None:
    """A line for a person, and what is wrong below it."""
    words = [fault.kind, fault.scene, fault.what, f"exit {fault.code}", fault.said[:120]]
    print("  ".join(word for word in words if word), flush=True)
    for wrong in fault.wrong:
        print(f"    WRONG: {wrong.replace(str(ROOT), '.')}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
