"""Memory and open files of a process and of all that it starts, as Linux's /proc tells them."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superres.errors import UserError

MIB = 1 << 20
KEYS = ("seconds", "rss", "pss", "own", "files")
_POINTS = 240  # of a curve that is kept


@dataclass
class Curve:
    """What was seen of one tree of processes.

    Attributes:
        samples: dicts of `KEYS`. In MiB, ``rss`` counts pages that several processes share in each
            of them, ``pss`` once altogether; ``own`` is the part of ``pss`` that no file backs:
            pages of a mapped LMDB, which the system takes back when it likes, are not in it.
            ``files`` counts open files.
        peak: MiB, the sum of the most that each process ever had, between samples too.
        processes: the most at one time.
        exit_code: of the first process.
        first_word: seconds until the command said anything.
    """

    samples: list[dict[str, float]] = field(default_factory=list)
    peak: float = 0.0
    processes: int = 0
    exit_code: int | None = None
    first_word: float | None = None

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
        x, y = [s["seconds"] for s in kept], [s[key] for s in kept]
        middle, mean = sum(x) / len(x), sum(y) / len(y)
        slope = sum((a - middle) * (b - mean) for a, b in zip(x, y, strict=True))
        slope /= sum((a - middle) ** 2 for a in x)
        return slope * (x[-1] - x[0])

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
        except BaseException:
            process.terminate()
            process.wait()
            raise
        finally:
            ended.set()
            thread.join()
    return curve


def _look(root: int, every: float, log: Path, curve: Curve, ended: threading.Event) -> None:
    begin = time.monotonic()
    peaks: dict[int, float] = {}
    while not ended.wait(every):
        if curve.first_word is None and log.stat().st_size:
            curve.first_word = time.monotonic() - begin
        found = {}
        for pid in tree(root):
            with contextlib.suppress(OSError, ProcessLookupError):  # it has just ended
                found[pid] = memory(pid)
        found = {pid: values for pid, values in found.items() if values["rss"]}
        if not found:
            continue
        sample = {key: sum(v[key] for v in found.values()) for key in KEYS[1:]}
        sample |= {"seconds": time.monotonic() - begin, "processes": len(found)}
        curve.samples.append(sample)
        peaks |= {pid: values["peak"] for pid, values in found.items()}
        curve.peak = max(curve.peak, sum(peaks[pid] for pid in found))
        curve.processes = max(curve.processes, len(found))


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name, in brackets, may hold anything.
                parent = int(
                    (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
                )
                children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def memory(pid: int) -> dict[str, Any]:
    """``rss, pss, own, peak`` in MiB, and ``files``, of one process.

    Raises:
        OSError: there is no such process any more.
    """
    folder = Path(f"/proc/{pid}")
    rollup = kilobytes(folder / "smaps_rollup")
    status = kilobytes(folder / "status")
    return {
        "rss": rollup.get("Rss", 0) / 1024,
        "pss": rollup.get("Pss", 0) / 1024,
        "own": (rollup.get("Pss_Anon", 0) + rollup.get("Pss_Shmem", 0)) / 1024,
        "peak": status.get("VmHWM", 0) / 1024,
        "files": len(list((folder / "fd").iterdir())),
    }


def kilobytes(file: Path) -> dict[str, int]:
    """The ``Name:   123 kB`` lines of a file of /proc."""
    rows = (line.split() for line in file.read_text().splitlines() if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) for words in rows if len(words) == 3}
