"""Trainings on record: what a run reached, with everything that shows how.

A record is a folder ``docs/results/NAME`` with ``results.json`` (of ``superres test``),
``run.json``, ``log.jsonl.gz`` and ``config.py`` (as it ran). The tables of the method folders and
of docs/results are made from these files alone.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from superres.errors import UserError
from superres.evaluation.curves import log_lines
from superres.evaluation.results import read_results
from superres.files import write_atomically, write_text
from superres.paths import share_dir

from .config.load import load_config
from .config.values import to_plain
from .train.provenance import commit, hardware

FILES = ("run.json", "results.json", "log.jsonl.gz", "config.py")
SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109", "DIV2K", "DIV2K_valid_256")
_RUN = {"config": str, "iterations": int, "seconds": (int, float), "hardware": str, "note": str}
_REST = ("seed", "load_from", "train_set", "commit")
_AGAIN = "restore it from git, or put the training on record again: `superres models record`"
# What makes two trainings different ones, of what --cfg-options can change.
_SAME = ("model", "scale", "train_set", "max_iters", "global_batch_size", "lq_patch_size")


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
        """What was trained and where: see :func:`write_record`; UserError for a damaged file."""
        path = self.folder / "run.json"
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path}: cannot be read ({error}); {_AGAIN}") from error
        run = run if isinstance(run, dict) else {}
        wrong = [key for key, kind in _RUN.items() if not isinstance(run.get(key), kind)]
        wrong += [key for key in _REST if key not in run]
        if wrong:
            raise UserError(f"{path}: {', '.join(wrong)} missing or not as written; {_AGAIN}")
        return run

    @cached_property
    def results(self) -> dict[str, Any]:
        """Of ``superres test``."""
        return read_results(self.folder / "results.json")

    @property
    def log(self) -> bytes:
        """``log.jsonl``, unpacked; UserError for a damaged file."""
        path = self.folder / "log.jsonl.gz"
        try:
            return gzip.decompress(path.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path}: cannot be read ({error}); {_AGAIN}") from error


def records_dir() -> Path:
    """``docs/results`` of the checkout; it is not part of an installed package."""
    return share_dir("configs").parent / "docs" / "results"


def find_records(config: str | None = None) -> list[TrainingRecord]:
    """All records, or those of one config, by name.

    Raises:
        UserError: a record lacks one of its files, or is damaged.
    """
    folders = sorted({path.parent for name in FILES for path in records_dir().glob(f"*/{name}")})
    for folder in folders:
        lost = [name for name in FILES if not (folder / name).is_file()]
        if lost:
            raise UserError(f"{folder}: {', '.join(lost)} missing; {_AGAIN}")
    found = [TrainingRecord(folder) for folder in folders]
    return [r for r in found if config is None or r.run["config"] == config]


def write_record(work_dir: Path, results: Path, name: str | None = None, note: str = "") -> Path:
    """Put a finished training on record.

    Args:
        work_dir: of the training; ``log.jsonl`` and ``config.py`` are taken from it.
        results: the ``results.json`` of ``superres test``, or its folder.
        name: of the record; default: the config's name.
        note: what a reader of the table should know.

    Raises:
        UserError: a file is missing or is not what it should be, the training is not finished,
            or the results are of another config than what was trained.
    """
    if name is not None and not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"--name {name!r}: letters, digits, '_', '-' and '.' make a record's name")
    log = work_dir / "log.jsonl"
    for path in (log, work_dir / "config.py"):
        if not path.is_file():
            raise UserError(f"{path} is missing: {work_dir} is no work dir of a training")
    results = results / "results.json" if results.is_dir() else results
    tested = read_results(results)
    lines = _lines(log)
    if not tested.get("config"):
        raise UserError(f"{results}: not of `superres test`; it names no config")
    config_name = Path(tested["config"]).stem
    root = share_dir("configs").parent
    if Path(tested["config"]).is_relative_to(root):  # where that lies is nobody's business
        tested["config"] = Path(tested["config"]).relative_to(root).as_posix()
    trained = to_plain(load_config(os.fspath(work_dir / "config.py")))
    iterations = max(line["iter"] for line in lines if line["mode"] == "train")
    if iterations < trained.get("max_iters", 0):
        raise UserError(
            f"{log}: not finished, {iterations:,} of {trained['max_iters']:,} iterations; go on "
            "with superres train ... --resume"
        )
    file = root / tested["config"]
    _same_config(os.fspath(file) if file.is_file() else config_name, trained, work_dir)
    started = next((line["time"] for line in lines if "time" in line), None)
    folder = records_dir() / (name or config_name)
    folder.mkdir(parents=True, exist_ok=True)
    run = {
        "config": config_name,
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
    write_text(folder / "run.json", json.dumps(run, indent=2) + "\n")
    text = json.dumps(tested, indent=1) + "\n"
    write_text(folder / "results.json", text)
    write_text(folder / "config.py", (work_dir / "config.py").read_text("utf-8"))
    # No time inside: the same log gives the same bytes.
    packed = gzip.compress(log.read_bytes(), mtime=0)
    write_atomically(folder / "log.jsonl.gz", lambda file: file.write(packed))
    return folder


def _lines(log: Path) -> list[dict[str, Any]]:
    """Of a ``log.jsonl``, those with a mode; a line of training also has its iteration and rate."""
    lines = [
        line
        for line in log_lines(log)
        if "mode" in line
        and (line["mode"] != "train" or (line.get("iter") and line.get("it_per_s")))
    ]
    if not any(line["mode"] == "train" for line in lines):
        raise UserError(f"{log}: it tells of no iteration: nothing was trained there")
    return lines


def _told(lines: Iterable[dict[str, Any]], key: str) -> list[str]:
    """What the starts of a run, the first and after each break, wrote into its log."""
    return list(dict.fromkeys(line[key] for line in lines if line.get(key)))


def _same_config(name: str, trained: dict[str, Any], work_dir: Path) -> None:
    """The commands on the page would repeat another training if these differed."""
    config = to_plain(load_config(name))
    other = [key for key in _SAME if key in trained and trained[key] != config.get(key)]
    if other:
        raise UserError(
            f"{work_dir}: not a training of {name}, which the results name: {', '.join(other)} "
            "differ; give the results of this training, and what was changed on the command line "
            "a config of its own"
        )


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
