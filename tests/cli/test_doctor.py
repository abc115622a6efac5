"""``superres doctor``: a sound installation, broken ones, crashes, no private names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from superres.cli import doctor as module
from superres.cli.doctor import FULL, LIGHT, Report, in_a_process, private

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


def test_all_fine_though_torchvision_is_broken(tmp_path, in_place_of):
    home = tmp_path / "home" / "ada-lovelace"
    home.mkdir(parents=True)
    env = {"HOME": str(home), "USER": "ada-lovelace", "LOGNAME": "ada-lovelace"}
    env |= {"SUPERRES_HOME": str(home / "cache"), "XDG_CACHE_HOME": ""}
    env |= in_place_of("torchvision", "raise RuntimeError('torchvision::nms does not exist')")
    result = doctor(**env)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert result.stdout.rstrip().endswith("all fine")
    assert "ada-lovelace" not in result.stdout
    for line in ("SUPERRES_HOME     ~/cache", "result            passed", "threads           "):
        assert f"\n  {line}" in result.stdout
    for package in (LIGHT | FULL).values():
        assert f"\n  {package} " in result.stdout


def test_the_light_install_is_fine(tmp_path):
    """Without torch: a path on which only what that install has can be found."""
    code = (
        "import importlib.metadata as m, sys\n"
        "from superres.cli import doctor\n"
        "real = doctor.version\n"
        "doctor.version = lambda name: '' if name in doctor.FULL.values() else real(name)\n"
        "hide = 'import sys; sys.modules.update(torch=None, mmengine=None, mmcv=None)\\n'\n"
        "run = doctor.in_a_process\n"
        "doctor.in_a_process = lambda code, *words: run(hide + code, *words)\n"
        "from superres.cli.main import main\n"
        "sys.exit(main(['doctor']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "note: the light install" in done.stdout
    assert "passed" in done.stdout


@pytest.mark.parametrize(
    ("module", "code", "what", "do"),
    [
        (
            "cv2",
            "raise ImportError('libGL.so.1: cannot open shared object file')",
            "libGL.so.1: cannot open shared object file",
            "apt-get install libgl1",
        ),
        ("mmengine", "import no_such_thing", "No module named 'no_such_thing'", "mmengine"),
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
    ((told, advice),) = record["problems"]  # not one for each package that needs it
    assert what in told
    assert do in advice
    assert "self-test" not in record["sections"]


def test_a_process_that_hangs_is_told(monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", 0.5)
    _, fault = in_a_process("import time; print('torch', flush=True); time.sleep(60)")
    assert "did not end within" in fault


def test_what_does_not_work_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(module, "_SMALL_UPSCALE", "raise OSError('edsr-s_x2.safetensors: damaged')")
    report = Report()
    report.examine()
    place, weights = report.problems
    assert "SUPERRES_HOME" in place[1]
    assert "edsr-s_x2.safetensors: damaged" in weights[0]


def test_what_is_private_is_shortened(monkeypatch):
    monkeypatch.setenv("LOGNAME", "torch")
    monkeypatch.setenv("HOME", "/home/torch")
    assert private("torch 2.6 in /home/torch/venv") == "torch 2.6 in ~/venv"
    assert private("/home/torchlight/x") == "/home/torchlight/x"
    assert private("/tmp/of-torch/x and C:\\Users\\torch\\x") == (
        "/tmp/of-USER/x and C:\\Users\\USER\\x"
    )
    assert private("a\x1b[31m\rb") == "a [31m b"


def test_extras_of_the_installation(monkeypatch):
    requires = ["numpy>=1", 'rich>=1; extra == "video"', 'nowhere ; extra == "video"']
    requires += ['rich; extra == "all"', 'pytest; extra == "tests"']
    monkeypatch.setattr(module.metadata, "requires", lambda _: requires)
    (text,) = module.extras().values()
    assert text.endswith("nowhere MISSING; to install: pip install 'superres[video]'")
