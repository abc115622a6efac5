"""Run probes so that one which crashes Python, or hangs, is told like any other fault."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from typing import BinaryIO

from superres.cli._doctor.findings import Findings

Probe = Callable[[Findings], None]
_SECONDS = 120.0


def run_probes(findings: Findings, probes: Sequence[Probe], seconds: float = _SECONDS) -> None:
    """Run ``probes`` in turn, in a forked process where that is possible.

    A library built for another CPU kills the process that imports it; a forked child keeps
    whatever would make the import fail in this process. After torch was imported a fork would not
    be safe (its threads are not copied), and there is little left that could crash.
    """
    if not hasattr(os, "fork") or "torch" in sys.modules:
        _here(findings, probes)
        return
    left = list(probes)
    while left:
        begun = _forked(findings, left, seconds)
        if begun is None:
            return
        kind, name = begun
        if kind == "package":  # all again, without it
            findings.broken.add(name)
        else:
            names = [probe.__name__ for probe in left]
            left = left[names.index(name) + 1 :]


def _here(findings: Findings, probes: Sequence[Probe]) -> None:
    for probe in probes:
        findings.begin("probe", probe.__name__)
        try:
            probe(findings)
        except Exception as error:  # the doctor outlives whatever the patient has
            last = traceback.extract_tb(error.__traceback__)[-1]
            findings.problem(
                f"looking at {_title(probe.__name__)} failed: {type(error).__name__}: {error} "
                f"({last.filename}:{last.lineno})",
                "install superres again (pip install --force-reinstall superres); if it stays, "
                "report it with this text",
            )


def _forked(findings: Findings, probes: Sequence[Probe], seconds: float) -> tuple[str, str] | None:
    """Run them in a child; what it died in, None if it did not."""
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    noise = tempfile.TemporaryFile() if _can_hold_files() else None  # noqa: SIM115
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            if noise is not None:  # what libraries print would mix with the report
                os.dup2(noise.fileno(), 2)
            out = os.fdopen(writer, "w", encoding="utf-8", errors="backslashreplace")
            for name in findings.broken:  # what needs it shall not crash in turn
                sys.modules[name] = None
            mine = Findings(
                broken=set(findings.broken),
                listener=lambda event: (out.write(json.dumps(event) + "\n"), out.flush()),
            )
            _here(mine, probes)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    begun, late = _listen(reader, findings, seconds)
    if late:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    said = ""
    if noise is not None:
        said = _last_line(noise)
        noise.close()
    if code == 0:
        return None
    if begun is None:
        raise OSError(f"the checks could not be started (exit code {code})")
    what = _title(begun[1])
    if late:
        findings.problem(
            f"looking at {what} did not end within {seconds:.0f} s",
            "something there hangs, such as a driver or a network folder: see to it, or restart",
        )
        return begun
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    findings.problem(
        f"Python itself crashed ({how}) while looking at {what}{said}",
        "this is a package built for another system or CPU, or damaged: install it again in a "
        "fresh environment (SIGKILL: the machine ran out of memory)",
    )
    return begun


def _listen(reader: int, findings: Findings, seconds: float) -> tuple[tuple[str, str] | None, bool]:
    """(what was begun last, whether time ran out)."""
    begun, rest, end = None, b"", time.monotonic() + seconds
    with os.fdopen(reader, "rb", buffering=0) as stream:
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                return begun, True
            data = stream.read(1 << 16)
            if not data:
                return begun, False
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                event = json.loads(line)
                if event[0] == "begin":
                    begun = (event[1], event[2])
                findings.take(event)


def _can_hold_files() -> bool:
    try:
        tempfile.TemporaryFile().close()
        return True
    except OSError:
        return False


def _last_line(noise: BinaryIO) -> str:
    noise.seek(0)
    lines = noise.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1][:200]}" if lines else ""


def _title(name: str) -> str:
    return name.removeprefix("look_at_").replace("_", " ")
