"""Trainings on record: what a run reached, with everything that shows how.

python tools/maintain/records.py WORK_DIR RESULTS

puts a finished training into ``docs/results/NAME``: ``results.json`` (of ``superres test``),
``run.json``, ``log.jsonl.gz`` and ``config.py`` (as it ran). The tables of the method folders and
of docs/reproduce.md are made from these files alone, by ``tools/maintain/docs.py``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

from maintain import ROOT, markdown_table
from superres.cli.main import exit_code
from superres.engine.config.load import load_config
from superres.engine.config.values import to_plain
from superres.errors import UserError
from superres.evaluation.curves import log_lines
from superres.evaluation.results import read_results

RECORDS = ROOT / "docs/results"
FILES = {"json": "results.json", "log": "log.jsonl.gz", "config": "config.py"}
SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109", "DIV2K", "DIV2K_valid_256")


@dataclass(frozen=True)
class TrainingRecord:
    """One folder of ``docs/results``.

    Attributes:
        name: of the folder: the config's, or that and what was different.
        run: what was trained and where, see :func:`write_record`.
        results: of ``superres test``.
    """

    name: str
    run: dict[str, Any]
    results: dict[str, Any]


@cache
def find_records(root: Path = RECORDS) -> tuple[TrainingRecord, ...]:
    """All records, by name."""
    folders = sorted(path.parent for path in root.glob("*/run.json"))
    runs = (json.loads((folder / "run.json").read_text(encoding="utf-8")) for folder in folders)
    return tuple(TrainingRecord(f.name, run, read_results(f)) for f, run in zip(folders, runs))


def write_record(
    work_dir: Path, results: Path, name: str | None = None, note: str = "", root: Path = RECORDS
) -> Path:
    """Put a finished training on record.

    Args:
        work_dir: of the training; ``log.jsonl`` and ``config.py`` are taken from it.
        results: the ``results.json`` of ``superres test``, or its folder.
        name: of the record; default: the config's name.
        note: what a reader of the table should know.
        root: the folder of all records.

    Raises:
        UserError: a file is missing or is not what it should be, or the training is not finished.
    """
    log, own_config = work_dir / "log.jsonl", work_dir / "config.py"
    if not (log.is_file() and own_config.is_file()):
        raise UserError(f"{work_dir}: not the work dir of a training (log.jsonl, config.py)")
    tested = read_results(results)
    if not tested.get("config"):
        raise UserError(f"{results}: not of `superres test`; it names no config")
    file = ROOT / tested["config"]
    if file.is_relative_to(ROOT):  # where a checkout lies is nobody's business
        tested["config"] = file.relative_to(ROOT).as_posix()
    trained = to_plain(load_config(os.fspath(own_config)))
    lines = list(log_lines(log))
    iterations = max((x["iter"] for x in lines if x.get("it_per_s")), default=0)
    if iterations < trained.get("max_iters", 1):
        done = f"{iterations:,} of {trained.get('max_iters', 1):,} iterations"
        raise UserError(f"{log}: not finished, {done}; continue with superres train ... --resume")
    starts = [line for line in lines if line.get("hardware")]  # the first, one after each break
    run = {
        "config": file.stem,
        **{key: trained.get(key) for key in ("seed", "load_from", "train_set")},
        "iterations": iterations,
        "seconds": round(_seconds(lines)),
        "hardware": "; ".join(dict.fromkeys(line["hardware"] for line in starts)),
        "commit": next((line["commit"] for line in starts if line.get("commit")), None),
        "versions": tested.get("versions", {}),
        "note": note,
    }
    folder = root / (name or file.stem)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(tested, indent=1) + "\n", encoding="utf-8")
    shutil.copyfile(own_config, folder / "config.py")
    # No time inside: the same log gives the same bytes.
    (folder / "log.jsonl.gz").write_bytes(gzip.compress(log.read_bytes(), mtime=0))
    find_records.cache_clear()
    return folder


def _seconds(lines: Iterable[dict[str, Any]]) -> float:
    """Time spent, over all parts of an interrupted run; what stands still does not count."""
    total, before = 0.0, 0
    for line in lines:
        if line.get("it_per_s"):
            # After a resume the log goes back; only new iterations are counted once more.
            total += max(line["iter"] - before, 0) / line["it_per_s"]
            before = line["iter"]
        elif line.get("mode") == "val":
            total += line.get("seconds", 0.0)
    return total


def score_table(
    head: list[str], rows: dict[tuple[str, ...], dict[str, str]], tail: list[str]
) -> list[str]:
    """Markdown: a column per test set between others.

    Args:
        head, tail: names of the columns on the left and on the right.
        rows: what stands in these columns -> {test set: scores}.
    """
    used = {name for cells in rows.values() for name in cells}
    sets = [*(s for s in SETS if s in used), *sorted(used - {*SETS})]
    n = len(head)
    table = [[*k[:n], *(c.get(s, "") for s in sets), *k[n:]] for k, c in rows.items()]
    return markdown_table([*head, *sets, *tail], table)


def results_table(records: Iterable[TrainingRecord], results: str) -> list[str]:
    """Markdown: a line per record and scale.

    Args:
        records: of one method, or of all.
        results: where docs/results lies, as seen from the file that the table stands in.
    """
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    runs = {record.name: record.run for record in records}
    for record in records:
        hours, minutes = divmod(round(record.run["seconds"] / 60), 60)
        duration = f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
        links = ", ".join(f"[{k}]({results}/{record.name}/{file})" for k, file in FILES.items())
        for score in (s for s in record.results["results"] if s["psnr"] is not None):
            difference = ((score.get("published") or {}).get("difference") or {}).get("psnr")
            beside = "" if difference is None else f" ({difference:+.2f})"
            start = record.run.get("load_from") or "scratch"
            key = record.name, f"x{score['scale']}", score["protocol"], duration, start, links
            text = f"{score['psnr']:.2f} / {score['ssim']:.4f}{beside}"
            rows.setdefault(key, {})[score["set"]] = text
    lines = score_table(["run", "scale", "protocol"], rows, ["training", "from", "files"])
    lines += ["", f"Trained on {'; '.join(sorted({run['hardware'] for run in runs.values()}))}."]
    noted: dict[str, list[str]] = {}
    for name, run in runs.items():
        noted.setdefault(run["note"], []).append(name)
    *few, (most, names) = sorted(noted.items(), key=lambda item: len(item[1]))
    told = [(", ".join(each), note) for note, each in few]
    every = "All others" if few else "All of them"
    told.append((every if len(names) > 1 else names[0], most))
    return lines + [line for who, note in told if note for line in ("", f"{who}: {note}.")]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path, metavar="WORK_DIR", help="of the training")
    parser.add_argument("results", type=Path, help="what `superres test --out` wrote")
    parser.add_argument("--name", help="of the record; default: the config's")
    parser.add_argument("--note", default="", help="what a reader of the table should know")
    args = parser.parse_args()
    folder = write_record(args.work_dir, args.results, args.name, args.note)
    print(f"written: {folder}; tools/maintain/docs.py makes the tables of it")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
