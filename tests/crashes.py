"""How a process of the test run died: what Python and the system say of it, printed at the end."""

from __future__ import annotations

import faulthandler
import os
import tempfile
from pathlib import Path
from typing import Any, TextIO

import pytest

_FOLDER = "SUPERRES_TEST_CRASHES"
_CODES = pytest.StashKey[list[str]]()
_open: list[TextIO] = []


@pytest.hookimpl(trylast=True)  # after pytest has had them written to its standard error
def pytest_configure(config: pytest.Config) -> None:
    """Have tracebacks of crashes written to files: what a dying worker prints is lost."""
    config.stash[_CODES] = []
    if not hasattr(config, "workerinput"):
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="superres-crashes-")
        return
    path = Path(os.environ[_FOLDER]) / f"{config.workerinput['workerid']}.txt"
    _open.append(path.open("a"))
    faulthandler.enable(file=_open[-1])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Note how a worker ended that was not told to."""
    if error:
        popen = node.gateway._io.popen  # execnet tells it nowhere else
        node.config.stash[_CODES].append(f"{node.gateway.id} ended with {popen.wait(30)}")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print it; the main process only comes here."""
    folder = Path(os.environ[_FOLDER])
    found = [*config.stash[_CODES]]
    for path in sorted(folder.glob("*.txt")):
        if text := path.read_text(errors="replace").strip():
            found.append(f"{path.stem}:\n{text[:4000]}")
    if found:
        terminalreporter.section("crashed processes")
        terminalreporter.write_line("\n".join(found))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder."""
    if hasattr(config, "workerinput"):
        faulthandler.disable()
        for file in _open:
            file.close()
        return
    folder = Path(os.environ.pop(_FOLDER))
    for path in folder.glob("*.txt"):
        path.unlink()
    folder.rmdir()
