"""Nothing reaches for the network unasked: not at import, not at installation, not in commands."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.network import attempts, cut_off, without_network

ROOT = Path(__file__).resolve().parents[1]

# A module of an optional package that is not installed is no finding here.
IMPORT_ALL = """
import importlib, pkgutil, superres
seen = []
for module in pkgutil.walk_packages(superres.__path__, "superres."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if error.name.startswith("superres"):
            raise
    seen.append(module.name)
print(len(seen))
"""


def run(folder: Path, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """A Python command that has no network; it must not have asked for one."""
    command, env = without_network([sys.executable, *arguments]), cut_off(folder)
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=300)
    assert attempts(folder) == []
    return done


def test_every_module_can_be_imported(tmp_path):
    done = run(tmp_path, "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    files = [p for p in (ROOT / "superres").rglob("*.py") if p.name != "__init__.py"]
    assert int(done.stdout.split()[-1]) >= len(files)


# The doctor converts a network with every back end that is installed.
@pytest.mark.parametrize(
    "words",
    ["--help", "doctor", "models list", f"upscale {ROOT}/docs/images/quickstart.jpg -o large.png"],
)
def test_commands_run(tmp_path, words):
    done = run(tmp_path / "env", "-m", "superres", *words.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


@pytest.mark.skipif(
    importlib.util.find_spec("pip") is None or importlib.util.find_spec("setuptools") is None,
    reason="an installation needs pip and setuptools",
)
def test_the_installation_itself_fetches_nothing(tmp_path):
    checkout = tmp_path / "checkout"
    command = ["git", "ls-files", "-z", "-c", "-o", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, checkout / name)
    target = tmp_path / "target"
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    done = run(tmp_path / "env", "-m", "pip", "install", *options, str(checkout), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    tools = {p.name for p in (target / "superres/_share/tools").iterdir()}
    assert "train.py" in tools
    assert not {"benchmark.py", "benchmarks", "maintain"} & tools


def test_an_attempt_is_seen(tmp_path):
    program = (
        "import urllib.request, socket\n"
        "try: urllib.request.urlopen('http://192.0.2.1/')\n"
        "except OSError: pass\n"
        "try: socket.create_connection(('example.invalid', 80))\n"
        "except OSError: pass\n"
        "socket.getaddrinfo('127.0.0.1', 80)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=cut_off(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = attempts(tmp_path)
    assert ["192.0.2.1" in line for line in found] == [True, False]
    assert "example.invalid" in found[-1]


def test_the_tests_themselves_reach_this_machine_only():
    with socket.socket() as one, pytest.raises(OSError, match="tests reach this machine only"):
        one.connect(("192.0.2.1", 9))
    with pytest.raises(OSError, match="tests reach this machine only"):
        socket.getaddrinfo("example.invalid", 80)
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())
