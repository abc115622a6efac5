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
from superres.engine.train.provenance import commit, hardware
from superres.errors import UserError
from superres.evaluation.curves import log_lines
from superres.evaluation.results import read_results

RECORDS = ROOT / "docs/results"
FILES = ("run.json", "results.json", "log.jsonl.gz", "config.py")
SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109", "DIV2K", "DIV2K_valid_256")
# What makes two trainings different ones, of what --cfg-options can change.
_SAME = ("model", "scale", "train_set", "max_iters", "global_batch_size", "lq_patch_size")


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
    """All records, by name.

    Raises:
        UserError: a record lacks one of its files, or is damaged.
    """
    found = []
    for folder in sorted({path.parent for name in FILES for path in root.glob(f"*/{name}")}):
        lost = [name for name in FILES if not (folder / name).is_file()]
        if lost:
            raise UserError(f"{folder}: {', '.join(lost)} missing; restore it from git")
        try:
            run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{folder}/run.json: {error}; restore it from git") from error
        found.append(TrainingRecord(folder.name, run, read_results(folder)))
    return tuple(found)


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
        UserError: a file is missing or is not what it should be, the training is not finished,
            or the results are of another config than what was trained.
    """
    log = work_dir / "log.jsonl"
    for path in (log, work_dir / "config.py"):
        if not path.is_file():
            raise UserError(f"{path} is missing: {work_dir} is not the work dir of a training")
    tested = read_results(results)
    if not tested.get("config"):
        raise UserError(f"{results}: not of `superres test`; it names no config")
    if Path(tested["config"]).is_relative_to(ROOT):  # where that lies is nobody's business
        tested["config"] = Path(tested["config"]).relative_to(ROOT).as_posix()
    config, file = Path(tested["config"]).stem, ROOT / tested["config"]
    trained = to_plain(load_config(os.fspath(work_dir / "config.py")))
    lines = list(log_lines(log))
    training = [x for x in lines if x.get("mode") == "train" and x.get("it_per_s")]
    iterations = max((line["iter"] for line in training), default=0)
    if not iterations or iterations < trained.get("max_iters", 0):
        raise UserError(
            f"{log}: not finished, {iterations:,} of {trained.get('max_iters', 0):,} iterations; "
            "continue with superres train ... --resume"
        )
    wanted = to_plain(load_config(os.fspath(file) if file.is_file() else config))
    other = [key for key in _SAME if key in trained and trained[key] != wanted.get(key)]
    if other:  # the commands on the page would repeat another training
        raise UserError(
            f"{work_dir}: not a training of {config}, which the results name: {', '.join(other)} "
            "differ; give the results of this training, and what was changed on the command line "
            "a config of its own"
        )
    started = next((line["time"] for line in lines if "time" in line), None)
    run = {
        "config": config,
        "seed": trained.get("seed"),
        "load_from": trained.get("load_from"),
        "train_set": trained.get("train_set"),
        "iterations": iterations,
        "seconds": round(_seconds(lines)),
        "hardware": "; ".join(_told(lines, "hardware")) or hardware(),
        "commit": next(iter(_told(lines, "commit")), None) or commit(started),
        "versions": tested.get("versions", {}),
        "note": note,
    }
    folder = root / (name or config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(tested, indent=1) + "\n", encoding="utf-8")
    (folder / "config.py").write_bytes((work_dir / "config.py").read_bytes())
    # No time inside: the same log gives the same bytes.
    (folder / "log.jsonl.gz").write_bytes(gzip.compress(log.read_bytes(), mtime=0))
    find_records.cache_clear()
    return folder


def _told(lines: Iterable[dict[str, Any]], key: str) -> list[str]:
    """What the starts of a run, the first and after each break, wrote into its log."""
    return list(dict.fromkeys(line[key] for line in lines if line.get(key)))


def _seconds(lines: Iterable[dict[str, Any]]) -> float:
    """Time spent, over all parts of an interrupted run; what stands still does not count."""
    total, before = 0.0, 0
    for line in lines:
        if line.get("mode") == "train" and line.get("it_per_s"):
            # After a resume the log goes back; only new iterations are counted once more.
            total += max(line["iter"] - before, 0) / line["it_per_s"]
            before = line["iter"]
        elif line.get("mode") == "val":
            total += line.get("seconds", 0.0)
    return total


def results_table(records: Iterable[TrainingRecord], results: str) -> list[str]:
    """Markdown: a line per record and scale.

    Args:
        records: of one method, or of all.
        results: where docs/results lies, as seen from the file that the table stands in.
    """
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    runs = {record.name: record.run for record in records}
    for record in records:
        for score in record.results["results"]:
            if score["psnr"] is None:
                continue
            text = f"{score['psnr']:.2f} / {score['ssim']:.4f}"
            difference = (score.get("published") or {}).get("difference") or {}
            if difference.get("psnr") is not None:
                text += f" ({difference['psnr']:+.2f})"
            head = record.name, f"x{score['scale']}", score["protocol"]
            rows.setdefault(head, {})[score["set"]] = text
    used = {name for cells in rows.values() for name in cells}
    shown = [*(s for s in SETS if s in used), *sorted(used - {*SETS})]
    table = []
    for head, cells in rows.items():
        hours, minutes = divmod(round(runs[head[0]]["seconds"] / 60), 60)
        duration = f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
        names = {"json": "results.json", "log": "log.jsonl.gz", "config": "config.py"}
        links = ", ".join(f"[{k}]({results}/{head[0]}/{name})" for k, name in names.items())
        table.append([*head, *(cells.get(s, "") for s in shown), duration, links])
    told = markdown_table(["run", "scale", "protocol", *shown, "training", "files"], table)
    told += ["", f"Trained on {'; '.join(sorted({run['hardware'] for run in runs.values()}))}."]
    noted: dict[str, list[str]] = {}
    for name, run in runs.items():
        noted.setdefault(run["note"], []).append(name)
    rest = len(runs)
    for note, names in sorted(noted.items(), key=lambda item: len(item[1])):
        others = "All others" if len(names) < len(runs) else "All of them"
        who = others if len(names) == rest > 1 else ", ".join(names)
        told += ["", f"{who}: {note}."] if note else []
        rest -= len(names)
    return told


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
