"""Disks that are full, at each kind of write, and places that are read-only."""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from .kinds import kind
from .lab import Fault, Lab, small_disk

_PAGE = 4096
# The command that writes it, the folder it goes to, and the exit codes that are right.
_WRITES = {
    "checkpoint": ("train", "work", (2,)),
    "pack": ("pack", "out", (2,)),
    "results.json": ("test", "out", (1, 2)),
    "enlarged picture": ("upscale", "out", (1,)),
    "export": ("export", "out", (2,)),
}


def _full_disk(lab: Lab, rng: random.Random, number: int, name: str, what: str) -> Fault:
    scene, place, codes = _WRITES[what]
    fault, folder = Fault(name, scene), lab.folder()
    lab.reference(scene)  # makes what is measured next
    needed = _size(lab.root / f"undisturbed {scene}" / place)
    # Less than it takes, at any point of it; the room that all of it needs is known.
    size = rng.randrange(_PAGE, max(2 * _PAGE, int(0.8 * needed)))
    with contextlib.ExitStack() as stack:
        try:
            remount = stack.enter_context(small_disk(folder / place, size))
            patches, make_room = {}, lambda: remount("size=64m")
            fault.what = f"a filesystem of {size} bytes for {needed}"
        except PermissionError:
            remount = None
        if remount is None or number % 3 == 2:
            largest = max(p.stat().st_size for p in (lab.root / f"undisturbed {scene}").rglob("*"))
            # The memory that workers fill counts as a file, too, and is none of a disk's.
            least = 30_000 if scene == "train" else 1
            limit = rng.randrange(least, max(least + 1, int(0.8 * largest)))
            patches, make_room = {"file_limit": {"size": limit}}, lambda: None
            fault.what = f"no file larger than {limit} bytes"
            if remount is not None:
                remount("size=64m")
        settings = lab.settings(scene, patches)
        (run,) = lab.scenes[scene].start(folder, settings)
        lab.judge(fault, folder, run.wait(), codes)
        make_room()
        lab.go_on(fault, folder)
    return fault


@kind("full disk: checkpoint")
def checkpoint(lab: Lab, rng: random.Random, number: int) -> Fault:
    """Or whatever else of a work dir finds no room first."""
    return _full_disk(lab, rng, number, "full disk: checkpoint", "checkpoint")


@kind("full disk: pack")
def pack(lab: Lab, rng: random.Random, number: int) -> Fault:
    """What is committed stays for the next run."""
    return _full_disk(lab, rng, number, "full disk: pack", "pack")


@kind("full disk: results.json")
def results(lab: Lab, rng: random.Random, number: int) -> Fault:
    """Or the pictures beside it."""
    return _full_disk(lab, rng, number, "full disk: results.json", "results.json")


@kind("full disk: enlarged picture")
def enlarged(lab: Lab, rng: random.Random, number: int) -> Fault:
    """What is done is kept."""
    return _full_disk(lab, rng, number, "full disk: enlarged picture", "enlarged picture")


@kind("full disk: export")
def export(lab: Lab, rng: random.Random, number: int) -> Fault:
    """A file appears whole or not at all."""
    return _full_disk(lab, rng, number, "full disk: export", "export")


def _full_lines(
    lab: Lab, rng: random.Random, name: str, place: str, codes: tuple[int, ...]
) -> Fault:
    """A file of lines grows against a limit that no other file of the run reaches."""
    fault, folder = Fault(name, "train"), lab.folder()
    (folder / "work").mkdir()
    file = folder / place
    line = b'{"mode": "event", "text": "before"}\n'
    file.write_bytes(line * (2_000_000 // len(line)))
    grown = (lab.root / "undisturbed train" / place).stat().st_size
    room = rng.randrange(0, int(0.8 * grown))
    settings = lab.settings("train", {"file_limit": {"size": file.stat().st_size + room}})
    fault.what = f"{file.name} may grow by {room} bytes"
    (run,) = lab.scenes["train"].start(folder, settings, again=True)
    lab.judge(fault, folder, run.wait(), codes)
    lab.go_on(fault, folder)
    joined = [t for t in file.read_bytes().split(b"\n") if t.count(b'{"iter"') > 1 or b"}{" in t]
    if joined:
        fault.wrong.append(f"lines of {file.name} that are two: {joined[:2]}")
    return fault


@kind("full disk: log")
def log(lab: Lab, rng: random.Random, number: int) -> Fault:
    """It is told, and the run goes on: its checkpoints are what counts."""
    fault = _full_lines(lab, rng, "full disk: log", "work/log.jsonl", (0,))
    if not fault.said.startswith("warning"):
        fault.wrong.append("nobody was told that the log is not written")
    # The last lines of a run that never found room are the only ones that may be missing.
    return fault


@kind("full disk: trace")
def trace(lab: Lab, rng: random.Random, number: int) -> Fault:
    """A record that was asked for and cannot be made ends the run."""
    return _full_lines(lab, rng, "full disk: trace", "trace.jsonl", (2,))


@kind("read-only work dir")
def read_only(lab: Lab, rng: random.Random, number: int) -> Fault:
    """From the start, or after a part of the work was done."""
    scene, place, _ = list(_WRITES.values())[number % len(_WRITES)]
    fault, folder = Fault("read-only work dir", scene), lab.folder()
    half = bool(rng.getrandbits(1))
    fault.what = "after a run that was killed" if half else "from the start"
    with _lockable(folder / place) as lock:
        if half:
            (run,) = lab.scenes[scene].start(folder, lab.settings(scene))
            run.wait(rng.uniform(0.2, lab.seconds(scene)))
            run.send(signal.SIGKILL, group=True)
        lock(True)
        (run,) = lab.scenes[scene].start(folder, lab.settings(scene), again=half)
        # 0: all was done before.
        lab.judge(fault, folder, run.wait(), (1, 2, 0) if half else (1, 2))
        lock(False)
        lab.go_on(fault, folder)
    return fault


@contextlib.contextmanager
def _lockable(folder: Path) -> Iterator[Callable[[bool], None]]:
    """A folder that can be made read-only: a filesystem, or by its mode for those it binds."""
    with contextlib.ExitStack() as stack:
        try:
            remount = stack.enter_context(small_disk(folder, 64 << 20))
        except PermissionError:
            folder.mkdir(parents=True, exist_ok=True)
            yield lambda locked: folder.chmod(0o555 if locked else 0o755)
            folder.chmod(0o755)
        else:
            yield lambda locked: remount("ro" if locked else "rw")


def _size(folder: Path) -> int:
    """What its files take on disk, in whole pages."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-size // _PAGE) * _PAGE for size in sizes)
