"""The compatibility matrix: what it reads from a test run, and the page it writes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from maintain import ROOT
from maintain import compatibility as compat


def test_combinations_reach_the_limits_of_what_is_supported():
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert 'python_requires=">=3.11,<3.14"' in setup
    assert {"3.11", "3.13"} <= {python for python, _, _ in compat.COMBINATIONS.values()}
    for which in ("oldest", "newest"):
        assert compat.COMBINATIONS[which][1:] == (which, which)


def test_failures_and_skips_are_counted(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.fixture\n"
        "def broken(): raise OSError\n"
        "def test_a(): pass\n"
        "def test_b(): raise ValueError\n"
        "@pytest.mark.skip\n"
        "def test_c(): pass\n"
        "def test_d(broken): pass\n"
    )
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}"]
    subprocess.run([*command, tmp_path], cwd=tmp_path, capture_output=True)
    found = compat.counts(report)
    assert (found["passed"], found["failed"], found["skipped"]) == (1, 2, 1)
    assert found["failures"] == ["test_it::test_b", "test_it::test_d"]


def test_a_combination_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(compat.COMBINATIONS, "future", ("3.99", "newest", "newest"))
    monkeypatch.setenv("PATH", str(tmp_path))  # without uv
    record = compat.run_combination("future", tmp_path / "venv", ["tests"])
    assert record["status"] == "not run"
    told = compat.table({"combinations": [record]})
    assert "`future` was not run: uv is not installed" in told


@pytest.mark.parametrize("warned", ["superres.models", "superres"])
def test_warnings_of_our_modules_are_errors_in_every_process(tmp_path, warned):
    (tmp_path / "sitecustomize.py").write_text(compat.PTH)
    code = f"import warnings; warnings.warn_explicit('x', UserWarning, 'f', 1, module={warned!r})"
    for module, fails in ((warned, True), ("elsewhere", False)):
        program = code.replace(warned, module)
        done = subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONPATH": str(tmp_path)}, capture_output=True
        )
        assert (done.returncode != 0) == fails, done.stderr
