"""Commands as processes of their own, which start at once, and what came of them.

A server imports everything once and forks a process per command. So a command costs what it does,
not what importing torch does, and is killed as any process is. ``cold`` ones are started afresh.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.engine.conftest import ROOT

from .patches import PATCHES

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faults.preload"])


@dataclass(frozen=True)
class Settings:
    """How a command is run: its environment, patches (name -> arguments), and whether afresh."""

    env: dict[str, str] = field(default_factory=dict)
    patches: dict[str, dict] = field(default_factory=dict)
    cold: bool = False


@dataclass(frozen=True)
class Outcome:
    """The exit code (negative: the signal that killed it) and what was printed."""

    code: int
    output: str

    @property
    def told(self) -> list[str]:
        """The messages of superres: of faults, and of having been stopped."""
        pattern = r"^(?:error\b|warning\b|interrupted|terminated|stopp|.*; stopped; ).*"
        return re.findall(pattern, self.output, re.M)

    @property
    def traceback(self) -> bool:
        """Whether a person saw a traceback."""
        return "Traceback (most recent call last)" in self.output


class Run:
    """One process.

    Args:
        argv: of ``superres``.
        log: what it prints goes there.
        settings: see :class:`Settings`.
    """

    def __init__(self, argv: Iterable[str], log: Path, settings: Settings) -> None:
        argv = [str(word) for word in argv]
        self.log = log
        self.started = time.monotonic()
        if settings.cold:
            env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **settings.env}
            with log.open("ab") as file:
                self._process = subprocess.Popen(
                    [sys.executable, str(ROOT / f"tools/{argv[0]}.py"), *argv[1:]],
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=env,
                    start_new_session=True,
                )
        else:
            self._process = _CONTEXT.Process(
                target=_child, args=(argv, str(log), settings.env, settings.patches)
            )
            self._process.start()
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        if isinstance(self._process, subprocess.Popen):
            return self._process.poll() is None
        return self._process.is_alive()

    def send(self, number: int, group: bool = False) -> bool:
        """Send a signal, to its children as well if ``group``; False if it has ended."""
        if not self.running:
            return False
        try:
            (os.killpg if group else os.kill)(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> bool:
        """``kill -9``; False if it had ended before."""
        return self.send(signal.SIGKILL) and self.wait(20).code == -signal.SIGKILL

    def children(self) -> list[int]:
        """The processes that it has started and that live, oldest first."""
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True
        )
        return [int(word) for word in found.stdout.split()]

    def wait(self, seconds: float = 240) -> Outcome:
        """Its outcome; what hangs is killed and told as the code -1000."""
        deadline = time.monotonic() + seconds
        while self.running and time.monotonic() < deadline:
            time.sleep(0.005)
        hung = self.running
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hung:
                os.killpg(self.pid, signal.SIGKILL)
        if isinstance(self._process, subprocess.Popen):
            code = self._process.wait()
        else:
            self._process.join()
            code = self._process.exitcode
        output = ""
        with contextlib.suppress(FileNotFoundError):  # struck before it could open it
            output = self.log.read_text(encoding="utf-8", errors="replace")
        return Outcome(-1000 if hung else code, output)

    def orphans(self, seconds: float = 25) -> list[int]:
        """Processes of its session that are still there after a while; they are ended then."""
        deadline = time.monotonic() + seconds
        while True:
            found = _of_session(self.pid)
            if not found or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return found


def _of_session(session: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=", "-s", str(session)], capture_output=True, text=True
    )
    rows = [line.split() for line in found.stdout.splitlines()]
    return [int(pid) for pid, state in rows if not state.startswith("Z")]


def _child(argv: list[str], log: str, env: dict[str, str], patches: dict[str, dict]) -> None:
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    os.chdir(ROOT)
    os.environ.update(env)
    # What the command starts is started as from a shell, not through a server of its own.
    multiprocessing.set_start_method("fork", force=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, arguments in patches.items():
        PATCHES[name](**arguments)
    from superres.cli.main import main

    sys.exit(main(argv))
