"""``superres doctor``: a sound installation, broken ones, crashes, no private names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from superres.cli import doctor as module
from superres.cli.doctor import EXTRAS, NEEDED, Report, private

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
    assert "ada-lovelace" not in text + file.read_text()
    assert "~/cache (made when first used): writable" in text
    record = json.loads(file.read_text())
    assert (record["ok"], record["problems"]) == (True, [])
    assert set(NEEDED.values()) <= set(record["sections"]["versions"])
    assert set(record["sections"]["optional extras"]) == set(EXTRAS)
    assert record["sections"]["self-test"]["result"].startswith("passed")
    assert int(record["sections"]["torch"]["threads"]) >= 1


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
        ("mmengine", "import no_such_thing", "mmengine needs no_such_thing", "pip install no_such"),
        (
            "torch",
            "import os, signal\nos.kill(os.getpid(), signal.SIGILL)",
            "Python itself crashed, signal 4",
            "--force-reinstall torch, built for this CPU",
        ),
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
    assert "writable" in record["sections"]["write access"]["TMPDIR"]


def test_a_process_that_hangs_is_told(monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", 0.2)
    assert "did not end within" in module._in_a_process("import time; time.sleep(60)")[1]


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "file" / "cache"))
    report = Report()
    module._places(report)
    (problem,) = report.problems
    assert "SUPERRES_HOME" in problem["do"]


def test_weights_that_do_not_work_are_a_problem(monkeypatch):
    monkeypatch.setattr(module, "_SMALL_UPSCALE", "raise OSError('edsr-s_x2.safetensors: damaged')")
    monkeypatch.setattr(module, "_versions", lambda report: [])
    (problem,) = module.examine().problems
    assert "edsr-s_x2.safetensors: damaged" in problem["what"]


def test_what_is_private_is_shortened(monkeypatch):
    monkeypatch.setenv("LOGNAME", "torch")
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
    assert "pipe is no file that could be replaced" in done.stderr
    assert (tmp_path / "pipe").is_fifo()
