"""The compatibility matrix: what it reads from a test run, and the page it writes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_SPEC = importlib.util.spec_from_file_location("compat_matrix", ROOT / "tools/compat_matrix.py")
compat = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = compat  # its dataclass looks itself up
_SPEC.loader.exec_module(compat)


def test_the_page_shows_the_recorded_results():
    results = json.loads(compat.RESULTS.read_text(encoding="utf-8"))
    assert compat.table(results) in compat.PAGE.read_text(encoding="utf-8")


def test_combinations_reach_the_limits_of_what_is_supported():
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert 'python_requires=">=3.11,<3.14"' in setup
    pythons = {c.python for c in compat.COMBINATIONS}
    assert {"3.11", "3.13"} <= pythons
    for which in ("oldest", "newest"):
        assert any(c.torch == c.others == which for c in compat.COMBINATIONS)


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


def test_a_combination_that_cannot_be_made_is_told(tmp_path):
    combination = compat.Combination("future", "3.99", "newest", "newest")
    record = compat.run_combination(combination, tmp_path / "venv", ["tests"], 1)
    assert record["status"] == "not run"
    assert "3.99" in record["reason"]
    assert "`future` was not run: no Python 3.99" in compat.table({"combinations": [record]})


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
