"""``superres doctor``: a sound installation, broken ones, crashes and hangs, no private names."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from superres.cli._doctor.findings import Findings, private
from superres.cli._doctor.isolate import run_probes
from superres.cli._doctor.machine import look_at_write_access
from superres.cli._doctor.network import look_at_weights
from superres.cli._doctor.packages import EXTRAS, NEEDED

ROOT = Path(__file__).resolve().parents[2]


def doctor(*arguments: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "doctor.py"), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=300,
    )


@pytest.fixture
def in_place_of(tmp_path, monkeypatch):
    """Puts a module of the given code where Python finds it before the real one."""

    def put(module: str, code: str) -> dict[str, str]:
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
        before = os.environ.get("PYTHONPATH")
        return {"PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path), before]))}

    return put


def test_all_fine(tmp_path):
    home = tmp_path / "home" / "ada-lovelace"
    home.mkdir(parents=True)
    file = home / "doctor.json"
    env = {"HOME": str(home), "USER": "ada-lovelace", "LOGNAME": "ada-lovelace"}
    env |= {"SUPERRES_HOME": str(home / "cache"), "XDG_CACHE_HOME": ""}
    result = doctor("--json", str(file), **env)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    text = result.stdout
    assert text.rstrip().endswith("all fine")
    assert "ada-lovelace" not in text
    assert str(home) not in text
    assert "~/cache (made when first used): writable" in text
    record = json.loads(file.read_text())
    assert record["ok"] is True
    assert record["problems"] == []
    assert set(NEEDED.values()) <= set(record["sections"]["versions"])
    assert set(record["sections"]["optional extras"]) == set(EXTRAS)
    tests = record["sections"]["self-test"]
    assert tests["result"] == "passed"
    assert {"tiles and the whole", "written and read back"} < set(tests)
    assert "ada-lovelace" not in file.read_text()
    import torch

    assert record["sections"]["versions"]["torch"] == torch.__version__
    assert int(record["sections"]["torch"]["threads within an operation"]) >= 1


@pytest.mark.parametrize(
    ("module", "code", "what", "do"),
    [
        (
            "cv2",
            "raise ImportError('libGL.so.1: cannot open shared object file')",
            "the system library libGL.so.1 is missing",
            "apt-get install libgl1",
        ),
        ("torch", "raise OSError('libtorch_cpu.so: bad')", "torch is installed but", "install"),
        ("mmengine", "import no_such_thing", "needs, is not", "pip install no_such_thing"),
        ("safetensors", "1 / 0", "safetensors is installed but cannot", "--force-reinstall"),
    ],
)
def test_a_broken_package_is_one_problem(module, code, what, do, in_place_of):
    result = doctor("--json", **in_place_of(module, code))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    record = json.loads(result.stdout)
    assert record["ok"] is False
    (problem,) = record["problems"]  # not one for each package that needs it
    assert what in problem["what"]
    assert do in problem["do"]
    assert NEEDED[module] in record["sections"]["self-test"]["result"]
    assert "writable" in record["sections"]["write access"]["temporary folder"]


def test_an_import_that_is_blocked():
    code = (
        "import sys; sys.modules['mmengine'] = None\n"
        "from superres.cli.main import main; sys.exit(main(['doctor', '--no-self-test']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 1
    assert "problem 1: mmengine" in result.stdout
    assert "problem 2" not in result.stdout
    assert "what to do: pip install" in result.stdout


def test_a_package_that_crashes_python_is_told(in_place_of):
    code = "import os, sys, signal\nprint('Illegal!', file=sys.stderr, flush=True)\n"
    code += "os.kill(os.getpid(), signal.SIGILL)"
    result = doctor("--no-self-test", **in_place_of("torch", code))
    assert result.returncode == 1
    assert "problem 1: Python itself crashed (SIGILL) while looking at torch: Illegal!" in (
        result.stdout
    )
    assert "problem 2" not in result.stdout
    assert "mmengine" in result.stdout  # what comes after it was looked at, too
    assert "temporary folder" in result.stdout


def test_probes_that_hang_fail_or_die_do_not_keep_the_others_from_being_run(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)  # so that it forks

    def look_at_driver(findings):
        time.sleep(60)

    def look_at_fault(findings):
        raise KeyError("gone")

    def look_at_death(findings):
        os.kill(os.getpid(), signal.SIGKILL)

    def look_at_end(findings):
        findings.fact("end", "reached", "yes")

    findings = Findings()
    begin = time.monotonic()
    run_probes(findings, [look_at_driver, look_at_fault, look_at_death, look_at_end], seconds=1)
    assert time.monotonic() - begin < 30
    told = [problem["what"] for problem in findings.problems]
    assert len(told) == 3
    assert "driver did not end within 1 s" in told[0]
    assert "fault failed: KeyError: 'gone'" in told[1]
    assert "SIGKILL" in told[2]
    assert findings.sections["end"]["reached"] == "yes"


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "file" / "cache"))
    findings = Findings()
    look_at_write_access(findings)
    (problem,) = findings.problems
    assert "cache folder" in problem["what"]
    assert "SUPERRES_HOME" in problem["do"]


def test_damaged_weights_are_a_problem(tmp_path):
    (tmp_path / "edsr-s_x4.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    findings = Findings()
    look_at_weights(findings, tmp_path)
    (problem,) = findings.problems
    assert "edsr-s_x4.safetensors cannot be opened" in problem["what"]


def test_what_is_private_is_shortened(monkeypatch):
    for key in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(key, "torch")
    monkeypatch.setenv("HOME", "/home/torch")
    assert private("torch 2.6 in /home/torch/venv") == "torch 2.6 in ~/venv"
    assert private("/home/torchlight/x") == "/home/torchlight/x"
    assert private("/tmp/of-torch/x and C:\\Users\\torch\\x") == (
        "/tmp/of-USER/x and C:\\Users\\USER\\x"
    )
    assert private("a\x1b[31m\rb") == "a [31m b"


def test_every_extra_is_known():
    lines = (ROOT / "requirements" / "optional.txt").read_text().splitlines()
    names = {line.partition(":")[0].strip() for line in lines if line and line[0] != "#"}
    assert names <= set(EXTRAS)


def test_a_current_folder_that_is_gone_is_what_is_told(tmp_path):
    (tmp_path / "gone").mkdir()
    script = f'cd "{tmp_path}/gone" && rmdir "{tmp_path}/gone" && exec "$0" -c "$1"'
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from superres.cli.main import main; "
    code += "sys.exit(main(['doctor', '--no-self-test']))"
    done = subprocess.run(
        ["sh", "-c", script, sys.executable, code], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert "problem 1: the current folder is gone" in done.stdout
    assert "crashed" not in done.stdout
    assert "problem 2" not in done.stdout


def test_a_pipe_or_device_is_not_replaced_by_the_json(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    done = doctor("--no-self-test", "--json", str(tmp_path / "pipe"))
    assert done.returncode == 2
    assert "pipe: cannot be written, it is no file" in done.stderr
    assert (tmp_path / "pipe").is_fifo()
