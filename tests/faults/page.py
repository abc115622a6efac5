"""The table of the long form, for the terminal and for the docs."""

from __future__ import annotations

from collections import Counter
from typing import Any

_INTRODUCTION = """\
# Faults

What becomes of the work when something goes wrong: processes that are killed at any moment, disks
that are full, files with a changed bit, signals, clocks that jump, renames that come late, two
commands in one place. This page is generated; one command makes all faults anew and writes it:

<!-- not run: takes a quarter of an hour, and mounts small filesystems where it may -->
```bash
python -m tests.faults --out docs/results/faults.json --page docs/faults.md
```

After each fault it looks at what was reported (the exit code, one message, no traceback) and at
what is there under its final name, which must be whole; then the same command is run again and
has to be done in the end, with nothing left behind. All final outputs (checkpoints as tensors,
the record of every iteration, packed pixels, pictures, scores) are compared by their hashes with
those of a run that nobody disturbed. The training writes a checkpoint every 3 iterations, so at
most 3 may have to be done again; nothing else that was finished may be lost. Moments and places
are random, from the seed; a short form with one fault of each kind is part of the tests.
"""
_LEGEND = """\
*reported*: the exit codes, how often each; negative ones are of killed processes, 0 where the
fault hit nothing that mattered (a page that nobody reads, or the very end). *lost*: the most that
had to be done again. *went on*: of how many the next run was done. *equal*: of how many all final
outputs are those of an undisturbed run. *wrong*: anything that must not be, such as a traceback
or files that lie about.
"""


def rows(record: dict[str, Any]) -> list[list[str]]:
    """A row per kind: kind, count, commands, reported, lost, went on, equal, wrong."""
    found: dict[str, list[dict[str, Any]]] = {}
    for fault in record["faults"]:
        found.setdefault(fault["kind"], []).append(fault)
    result = []
    for kind, faults in found.items():
        codes = Counter(fault["code"] for fault in faults)
        lost = max((fault["lost"] for fault in faults), key=lambda t: int(t.split()[0]) if t else 0)
        result.append(
            [
                kind,
                str(len(faults)),
                ", ".join(dict.fromkeys(fault["scene"] for fault in faults)),
                ", ".join(f"{code}: {n}" for code, n in sorted(codes.items())),
                lost or "nothing",
                *(str(sum(fault[key] for fault in faults)) for key in ("went_on", "equal")),
                str(sum(bool(fault["wrong"]) for fault in faults)),
            ]
        )
    return result


HEAD = ["fault", "count", "command", "reported", "lost", "went on", "equal", "wrong"]


def table(record: dict[str, Any]) -> str:
    """The table as Markdown, with a sum."""
    lines = [HEAD, ["---"] * len(HEAD), *rows(record)]
    faults = record["faults"]
    total = [sum(fault[key] for fault in faults) for key in ("went_on", "equal")]
    wrong = sum(bool(fault["wrong"]) for fault in faults)
    lines.append(["all", str(len(faults)), "", "", "", *map(str, total), str(wrong)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(record: dict[str, Any]) -> str:
    """docs/faults.md."""
    made = (
        f"{len(record['faults'])} faults from the seed {record['seed']}, "
        f"in {record['seconds'] / 60:.0f} minutes."
    )
    return "\n".join([_INTRODUCTION, made, "", table(record), "", _LEGEND])
