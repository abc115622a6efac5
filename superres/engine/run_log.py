"""What a run reports: a progress bar on a terminal, plain lines elsewhere, JSON lines in a file."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from superres.output import bar, drop_output, printable
from superres.paths import share_dir

_SCORED = ("set", "role", "scale", "protocol", "psnr", "ssim")


class RunLog:
    """Reports one process's progress. Ranks other than 0 are silent.

    Args:
        rank: of this process.
        level: of Python's logging, by name or number; lines below it go to the log file only.

    Attributes:
        log_file: JSON lines are appended here: ``{"mode": "train" | "val" | "event", ...}``.
        listeners: called with all scalars, as ``listener(mode, iteration, values)``.
    """

    def __init__(self, rank: int = 0, level: str | int | None = None) -> None:
        self.rank = rank
        level = level or logging.INFO
        self.level = logging.getLevelName(level.upper()) if isinstance(level, str) else level
        self.logger = logging.Logger("superres")  # of hooks; what is said goes no further
        self.logger.addFilter(lambda record: self.say(record.getMessage(), record.levelno))
        self.log_file: Path | None = None
        self.listeners: list[Callable[[str, int, dict[str, Any]], None]] = []
        self._held: list[dict[str, Any]] = []  # what is not in the file yet
        self._log_fault = ""
        self._progress: Any = None
        self._task: Any = None

    def say(self, text: str, level: int = logging.INFO, **facts: Any) -> None:
        """A line for the person, on rank 0; ``facts`` stand beside it in the file."""
        if self.rank == 0:
            self._print(text, level)
            self._write({"mode": "event", "text": text, **facts})

    def warn(self, text: str) -> None:
        """A line that deserves attention."""
        self.say(f"warning: {text}", logging.WARNING)

    def debug(self, text: str, **facts: Any) -> None:
        """For the log file; ``facts`` stand beside the text, for programs."""
        self.say(text, logging.DEBUG, **facts)

    def training(self, record: dict[str, Any], total: int) -> None:
        """One interval's figures."""
        if self.rank:
            return
        self._write({"mode": "train", **record})
        for listener in self.listeners:
            listener("train", record["iter"], record)
        eta = str(datetime.timedelta(seconds=round(record["eta_s"])))
        losses = "  ".join(f"{k} {v:.5f}" for k, v in record.items() if k.startswith("loss"))
        line = (
            f"{losses}  lr {record['lr']:.2e}  {record['it_per_s']:.2f} it/s  "
            f"data wait {record['data_wait']:.1%}  ETA {eta}  {record['memory_mb']:.0f} MB"
        )
        self.progress(record["iter"], total, line, f"iter {record['iter']}/{total}  {line}")

    def validation(self, iteration: int, results: Any, seconds: float) -> None:
        """The scores of one validation."""
        if self.rank:
            return
        reported = (*_SCORED, *results.metrics)
        scores = [{key: e[key] for key in reported if key in e} for e in results.entries]
        self._write({"mode": "val", "iter": iteration, "seconds": seconds, "results": scores})
        for listener in self.listeners:
            listener("val", iteration, results.scalars())
        several = len({e["scale"] for e in scores}) > 1
        shown = []
        for e in scores:
            name = f"{e['set']} x{e['scale']}" if several else e["set"]
            more = "".join(f" {m} {e[m]:.4f}" for m in results.metrics if e.get(m) is not None)
            shown.append(f"{name} {e['psnr']:.3f}/{e['ssim']:.4f}{more} ({e['protocol']})")
        self._print(f"validation at iter {iteration}: {'  '.join(shown)}  [{seconds:.1f} s]")

    def alert(self, text: str) -> None:
        """A line on the error output, of any rank, above the progress bar."""
        self._print(text, logging.CRITICAL, sys.stderr)

    def table(self, record: dict[str, Any]) -> None:
        """The tables of a record as results.json holds it, at the end of a run."""
        from superres.evaluation.render import print_tables
        from superres.evaluation.tables import all_tables

        self.close()
        print_tables(all_tables(record))

    def close(self) -> None:
        """Take the progress bar down."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def progress(self, done: int, total: int, note: str, line: str | None) -> None:
        """How far rank 0 is: a bar with a note on a terminal, elsewhere a line."""
        if self.rank or self.level > logging.INFO:
            return
        if self._progress is None and (made := bar(sys.stdout)):
            self._progress, self._task = made, made.add_task("", total=total, count="", note="")
        if self._progress is not None:
            count = f"{done}/{total}"
            self._progress.update(self._task, completed=done, count=count, note=printable(note))
        elif line:
            self._print(line)

    def _print(self, text: str, level: int = logging.INFO, file: TextIO | None = None) -> None:
        if level < self.level:
            return
        try:
            if self._progress is not None:
                self._progress.console.print(printable(text), highlight=False, markup=False)
            else:
                print(printable(text), file=file or sys.stdout, flush=True)
        except OSError as error:
            # The terminal was closed, what the output was piped to has ended, or the disk is full
            # that it goes to. That must not end a run (nor its saving, after a SIGHUP).
            self._progress = None
            drop_output()
            _complain(f"nothing more is printed ({error.strerror}); the run goes on")

    def log_to(self, path: Path) -> None:
        """From now on write to ``path``, what was reported so far first."""
        self.log_file = path
        self._write()

    def _write(self, *records: dict[str, Any]) -> None:
        """Append lines; what finds no room is kept for the next time.

        A log that cannot be written must not end a run whose checkpoints may still be fine.
        """
        self._held += [{"time": round(time.time(), 3), **record} for record in records]
        if self.log_file is None:
            return
        try:
            keep_folder(self.log_file.parent)
            with open(self.log_file, "a", encoding="utf-8") as file:
                file.write("".join(json.dumps(record) + "\n" for record in self._held))
            self._held.clear()
            self._log_fault = ""
        except OSError as error:
            if self._log_fault != error.strerror:
                self._log_fault = error.strerror
                _complain(
                    f"{self.log_file}: {error.strerror}; the run goes on, and what is to "
                    "be logged is kept until there is room"
                )


def keep_folder(folder: Path) -> None:
    """Make a work dir again that was removed or renamed while the run goes on, and say so."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        _complain(f"{folder} was removed or renamed; it is made again, and the run goes on")


def _complain(text: str) -> None:
    with contextlib.suppress(OSError):  # this may be full, too
        print(f"warning: {printable(text)}", file=sys.stderr, flush=True)


# -- where a program runs, and its commit -----------------------------------------------


def processor_name() -> str:
    """Such as ``cpu: Intel(R) Xeon(R) Processor, 2 cores``."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
        name = found[1].strip() if found else name
    return f"cpu: {name}, {os.cpu_count()} cores"


def commit() -> str | None:
    """Of the checkout that the program runs from; None outside one."""
    command = ["git", "-C", os.fspath(share_dir("configs").parent), "rev-parse", "HEAD"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return None
