"""Memory and open files of a process and of all that it starts, as Linux's /proc tells them."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from superres.errors import UserError

KEYS = ("seconds", "own", "files")
_POINTS = 240  # of a curve that is kept


@dataclass
class Curve:
    """What was seen of one tree of processes.

    Attributes:
        samples: dicts of `KEYS` and ``processes``. ``own`` is memory in MiB that no file backs,
            with each shared page counted once: pages of a mapped LMDB, which the system takes back
            when it likes, are not in it. ``files`` counts open files.
        peak: MiB, the sum of the most that each process ever had, between samples too.
        exit_code: of the first process.
        first_word: seconds until the command said anything.
    """

    samples: list[dict[str, float]] = field(default_factory=list)
    peak: float = 0.0
    exit_code: int | None = None
    first_word: float | None = None

    @property
    def processes(self) -> int:
        """The most at one time."""
        return max(s["processes"] for s in self.samples)

    def growth(self, key: str, warm_up: float = 0.2) -> float:
        """How much ``key`` grows from the end of the warm-up to that of the work: a fitted line's.

        Args:
            warm_up: this share of the time since the first word is left out.
        """
        last, begin = self.samples[-1]["seconds"], self.first_word or 0.0
        start, stop = begin + warm_up * (last - begin), last - 0.02 * (last - begin)
        kept = [s for s in self.samples if start <= s["seconds"] <= stop]
        kept = [s for s in kept if s["processes"] >= self.processes]  # at the end they go
        if len(kept) < 5:
            raise UserError("benchmark load: too short a run to tell whether memory grows")
        seconds = [s["seconds"] for s in kept]
        slope = statistics.linear_regression(seconds, [s[key] for s in kept]).slope
        return slope * (seconds[-1] - seconds[0])

    def thinned(self) -> dict[str, list[float]]:
        """Key -> values, of so many samples as a plot can show. A piece's highest one stands."""
        step = -(-len(self.samples) // _POINTS)
        pieces = [self.samples[i : i + step] for i in range(0, len(self.samples), step)]
        chosen = [max(piece, key=lambda s: s["own"]) for piece in pieces]
        return {key: [round(s[key], 1) for s in chosen] for key in KEYS}


def watch(command: Sequence[str], folder: Path, env: dict[str, str], every: float = 0.2) -> Curve:
    """Run a command in a folder and look at it until it ends; its output goes to ``log`` there.

    Raises:
        UserError: the system has no /proc as Linux's.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        raise UserError("benchmark load: this system does not tell what /proc/PID/smaps_rollup has")
    curve, ended, log = Curve(), threading.Event(), folder / "log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, cwd=folder, env=env
        )
        thread = threading.Thread(target=_look, args=(process.pid, every, log, curve, ended))
        thread.start()
        try:
            curve.exit_code = process.wait()
        finally:
            process.terminate()
            process.wait()
            ended.set()
            thread.join()
    return curve


def _look(root: int, every: float, log: Path, curve: Curve, ended: threading.Event) -> None:
    import psutil

    begin = time.monotonic()
    peaks: dict[int, float] = {}
    while not ended.wait(every):
        if curve.first_word is None and log.stat().st_size:
            curve.first_word = time.monotonic() - begin
        sample = {"seconds": time.monotonic() - begin, "own": 0.0, "files": 0, "processes": 0}
        present = []
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(root)
            for process in (first, *first.children(recursive=True)):
                with contextlib.suppress(OSError, KeyError, psutil.Error):  # it has just ended
                    own, peak, files = memory(process.pid)
                    sample["own"] += own
                    sample["files"] += files
                    sample["processes"] += 1
                    peaks[process.pid] = peak
                    present.append(process.pid)
        if present:
            curve.samples.append(sample)
            curve.peak = max(curve.peak, sum(peaks[pid] for pid in present))


def memory(pid: int) -> tuple[float, float, int]:
    """MiB of a process's own memory now, the most that it ever had, and its open files.

    Raises:
        OSError, KeyError: there is no such process any more.
    """
    folder = Path(f"/proc/{pid}")
    rollup, status = kilobytes(folder / "smaps_rollup"), kilobytes(folder / "status")
    own = (rollup["Pss_Anon"] + rollup["Pss_Shmem"]) / 1024
    return own, status["VmHWM"] / 1024, len(list((folder / "fd").iterdir()))


def kilobytes(file: Path) -> dict[str, int]:
    """The ``Name:   123 kB`` lines of a file of /proc."""
    rows = (line.split() for line in file.read_text().splitlines() if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) for words in rows if len(words) == 3}
