"""Trainings on record: what a run reached, with everything that shows how.

A record is a folder ``docs/results/NAME`` with ``results.json`` (of ``superres test``),
``run.json``, ``log.jsonl.gz`` and ``config.py`` (as it ran). The tables of the method folders and
of docs/results are made from these files alone.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config

from superres.errors import UserError
from superres.evaluation.results import read_results
from superres.imaging.files import write_atomically
from superres.paths import share_dir

from .checkpoint import write_text_atomically

SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109", "DIV2K", "DIV2K_valid_256")


@dataclass(frozen=True)
class TrainingRecord:
    """One folder of ``docs/results``."""

    folder: Path

    @property
    def name(self) -> str:
        """The run: its config's name, or that and what was different."""
        return self.folder.name

    @cached_property
    def run(self) -> dict[str, Any]:
        """What was trained and where: see :func:`write_record`."""
        return json.loads((self.folder / "run.json").read_text(encoding="utf-8"))

    @cached_property
    def results(self) -> dict[str, Any]:
        """Of ``superres test``."""
        return read_results(self.folder / "results.json")


def records_dir() -> Path:
    """``docs/results`` of the checkout; it is not part of an installed package."""
    return share_dir("configs").parent / "docs" / "results"


def find_records(config: str | None = None) -> list[TrainingRecord]:
    """All records, or those of one config, by name."""
    found = [TrainingRecord(p.parent) for p in sorted(records_dir().glob("*/run.json"))]
    return [r for r in found if config is None or r.run["config"] == config]


def write_record(work_dir: Path, results: Path, name: str | None = None, note: str = "") -> Path:
    """Put a finished training on record.

    Args:
        work_dir: of the training; ``log.jsonl`` and ``config.py`` are taken from it.
        results: the ``results.json`` of ``superres test``, or its folder.
        name: of the record; default: the config's name.
        note: what a reader of the table should know.

    Raises:
        UserError: a file is missing or is not what it should be.
    """
    log = work_dir / "log.jsonl"
    for path in (log, work_dir / "config.py"):
        if not path.is_file():
            raise UserError(f"{path} is missing: {work_dir} is no work dir of a training")
    results = results / "results.json" if results.is_dir() else results
    tested = read_results(results)
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    if not tested.get("config"):
        raise UserError(f"{results}: not of `superres test`; it names no config")
    config_name = Path(tested["config"]).stem
    root = share_dir("configs").parent
    if Path(tested["config"]).is_relative_to(root):  # where that lies is nobody's business
        tested["config"] = Path(tested["config"]).relative_to(root).as_posix()
    trained = Config.fromfile(os.fspath(work_dir / "config.py"))
    folder = records_dir() / (name or config_name)
    folder.mkdir(parents=True, exist_ok=True)
    run = {
        "config": config_name,
        "seed": trained.get("seed"),
        "load_from": trained.get("load_from"),
        "train_set": trained.get("train_set"),
        "iterations": max(line["iter"] for line in lines if line["mode"] == "train"),
        "seconds": round(_seconds(lines)),
        "hardware": _hardware(),
        "commit": _commit(),
        "versions": tested.get("versions", {}),
        "note": note,
    }
    write_text_atomically(folder / "run.json", json.dumps(run, indent=2) + "\n")
    text = json.dumps(tested, indent=1) + "\n"
    write_text_atomically(folder / "results.json", text)
    write_text_atomically(folder / "config.py", (work_dir / "config.py").read_text("utf-8"))
    # No time inside: the same log gives the same bytes.
    packed = gzip.compress(log.read_bytes(), mtime=0)
    write_atomically(folder / "log.jsonl.gz", lambda file: file.write(packed))
    return folder


def _seconds(lines: Iterable[dict[str, Any]]) -> float:
    """Time spent, over all parts of an interrupted run; what stands still does not count."""
    total, before = 0.0, 0
    for line in lines:
        if line["mode"] == "train":
            # After a resume the log goes back; only new iterations are counted once more.
            total += max(line["iter"] - before, 0) / line["it_per_s"]
            before = line["iter"]
        elif line["mode"] == "val":
            total += line.get("seconds", 0.0)
    return total


def _hardware() -> str:
    from superres.benchmarks.harness import processor_name

    return processor_name()


def _commit() -> str | None:
    """Of the checkout that the program runs from; None outside one."""
    where = share_dir("configs").parent
    try:
        done = subprocess.run(
            ["git", "-C", os.fspath(where), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def results_table(records: list[TrainingRecord], results: str) -> list[str]:
    """Markdown: a line per record and scale.

    Args:
        records: of one method, or of all.
        results: where docs/results lies, as seen from the file that the table stands in.
    """
    if not records:
        return []
    rows, sets = [], set()
    for record in records:
        run = record.run
        for (scale, protocol), cells in _by_scale(record).items():
            sets |= set(cells)
            place = f"{results}/{record.name}"
            links = f"[json]({place}/results.json), [log]({place}/log.jsonl.gz), "
            links += f"[config]({place}/config.py)"
            rows.append((record.name, scale, protocol, cells, _duration(run["seconds"]), links))
    shown = [s for s in SETS if s in sets] + sorted(sets - set(SETS))
    head = ["run", "scale", "protocol", *shown, "training", "files"]
    table = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, scale, protocol, cells, duration, links in rows:
        scores = [cells.get(s, "") for s in shown]
        table.append(
            "| " + " | ".join([name, f"x{scale}", protocol, *scores, duration, links]) + " |"
        )
    hardware = sorted({r.run["hardware"] for r in records})
    noted: dict[str, list[str]] = {}
    for record in records:
        if note := record.run["note"]:
            noted.setdefault(note, []).append(record.name)
    told = [*table, "", f"Trained on {'; '.join(hardware)}."]
    left = len(records)
    for note, names in sorted(noted.items(), key=lambda item: len(item[1])):
        who = ", ".join(names)
        if len(names) == left > 1:
            who = "All of them" if left == len(records) else "All others"
        told += ["", f"{who}: {note}."]
        left -= len(names)
    return told


def _by_scale(record: TrainingRecord) -> dict[tuple[int, str], dict[str, str]]:
    cells: dict[tuple[int, str], dict[str, str]] = {}
    for score in record.results["results"]:
        if score["psnr"] is None:
            continue
        text = f"{score['psnr']:.2f} / {score['ssim']:.4f}"
        difference = (score.get("published") or {}).get("difference") or {}
        if difference.get("psnr") is not None:
            text += f" ({difference['psnr']:+.2f})"
        cells.setdefault((score["scale"], score["protocol"]), {})[score["set"]] = text
    return cells


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
