"""Commands in processes of their own that start at once and can be killed at an exact place.

A server imports everything and forks a process per command, so that a command costs what it does.
A place is the n-th time that the command is about to change a file below its folder: unlike a
moment, it is the same on a busy machine.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engine.conftest import ROOT

_WRITES = os.O_WRONLY | os.O_RDWR
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: its exit code; negative: the signal that killed it.
        output: what it printed.
        changes: how often it changed a file below its folder; 0 if it was killed.
    """

    code: int
    output: str
    changes: int


def run(argv: list[str], folder: Path, kill_at: int = 0) -> Outcome:
    """Run ``superres ARGV``, which works below ``folder``; ``kill -9`` before its n-th change."""
    log, counted = folder.parent / f"{folder.name}.log", folder.parent / f"{folder.name}.changes"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.preload"])
    log.write_text("")
    counted.write_text("0")
    process = context.Process(target=_child, args=(argv, folder, log, counted, kill_at))
    process.start()
    process.join(240)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError(f"{argv[:2]} hangs: {log.read_text()}")
    return Outcome(process.exitcode, log.read_text(), int(counted.read_text()))


def _child(argv: list[str], folder: Path, log: Path, counted: Path, kill_at: int) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(ROOT)
    # What the command starts is started as from a shell, not through a server of its own.
    multiprocessing.set_start_method("fork", force=True)
    changes, own, below = 0, os.getpid(), str(folder)

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal changes
        if event not in _CHANGES and not (event == "open" and args[2] & _WRITES):
            return
        if os.getpid() == own and not isinstance(args[0], int) and below in os.fsdecode(args[0]):
            changes += 1
            if changes == kill_at:
                os.kill(own, signal.SIGKILL)

    sys.addaudithook(watch)
    from superres.cli.main import main

    code = main(argv)
    counted.write_text(str(changes))
    sys.exit(code)
