#!/usr/bin/env python3
"""Run the tests on the oldest and newest supported Python, torch, numpy and other packages.

Makes one virtual environment per combination, runs the tests in it with warnings of our own modules
as errors (in the test process and in every process that it starts), and writes what happened to
docs/results/compatibility.json and as a table to docs/compatibility.md.

    python tools/compat_matrix.py                       # all combinations, the default tests
    python tools/compat_matrix.py --only oldest --all   # one combination, every test
    python tools/compat_matrix.py --table               # only the table, from the recorded results

A combination that cannot be installed here is recorded as not run, with the reason. torch from
PyPI is several GB for Linux; SUPERRES_TORCH_INDEX names another index, as in tools/make_env.sh.
Exit code 0: every combination asked for ran and passed; 1: a test failed or a combination did not
run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/results/compatibility.json"
PAGE = ROOT / "docs/compatibility.md"
BEGIN, END = "<!-- table: tools/compat_matrix.py -->", "<!-- end of table -->"
SHOWN = ("torch", "numpy", "opencv-python", "mmengine", "mmcv-lite", "lmdb", "pillow")
DEFAULT_TESTS = (
    *("tests/imaging", "tests/models", "tests/datasets", "tests/checkpoints", "tests/inference"),
    *("tests/evaluation", "tests/engine/test_config.py", "tests/engine/test_training.py"),
    *("tests/engine/test_resume.py", "tests/export", "tests/upscaling", "tests/cli/test_main.py"),
)
SHORT_TESTS = (
    *("tests/imaging", "tests/models/test_backbones.py", "tests/models/test_layers.py"),
    *("tests/checkpoints/test_reading.py", "tests/engine/test_config.py"),
    *("tests/engine/test_training.py", "tests/evaluation/test_metrics.py"),
)
MARKERS = "not slow and not gpu"
# Python runs lines that begin with "import" in .pth files at every start: so the filter is on in
# workers and commands too. PYTHONWARNINGS cannot say "and all modules below".
PTH = "import warnings; warnings.filterwarnings('error', module='superres')\n"


@dataclass(frozen=True)
class Combination:
    """What to install: each of ``torch`` and ``others`` is oldest, pinned or newest."""

    name: str
    python: str
    torch: str
    others: str


COMBINATIONS = (
    Combination("oldest", "3.11", "oldest", "oldest"),
    Combination("oldest-others", "3.11", "pinned", "oldest"),
    Combination("pinned", "3.11", "pinned", "pinned"),
    Combination("pinned-3.12", "3.12", "pinned", "pinned"),
    Combination("newest-others", "3.13", "pinned", "newest"),
    Combination("newest-torch", "3.11", "newest", "pinned"),
    Combination("newest", "3.13", "newest", "newest"),
)


class NotRun(Exception):
    """A combination cannot be made here; the message says why."""


def requirement_lines(name: str) -> list[str]:
    """The requirements of one file, without comments."""
    lines = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def find_python(version: str) -> str:
    """An interpreter of that version: on the PATH, or one of pyenv's."""
    candidates = [shutil.which(f"python{version}"), sys.executable]
    candidates += sorted(
        map(str, (Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))
    )
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in filter(None, candidates):
        done = subprocess.run([candidate, "-c", program], capture_output=True, text=True)
        if done.stdout.strip() == version:
            return candidate
    raise NotRun(f"no Python {version} was found")


def oldest(python: Path, requirement: str) -> str:
    """``name==version``: the oldest release with a wheel for this Python that is allowed."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    wanted = Requirement(requirement)
    command = [python, "-m", "pip", "index", "versions", wanted.name, "--only-binary", ":all:"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"^Available versions: (.*)", done.stdout, re.M)
    allowed = [Version(v) for v in found[1].split(", ")] if found else []
    allowed = [v for v in allowed if v in wanted.specifier]
    if not allowed:
        raise NotRun(f"the package index has no wheel of {requirement} for this Python")
    return f"{wanted.name}=={min(allowed)}"


def install(combination: Combination, venv: Path) -> Path:
    """Make the environment, or complete one that is there; its Python."""
    python = venv / "bin/python"
    if not python.exists():
        _checked([find_python(combination.python), "-m", "venv", venv])
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pinned = dict(line.split("==") for line in requirement_lines("constraints"))
    (torch_line,) = (x for x in requirement_lines("runtime") if x.startswith("torch>"))
    runtime = [line for line in requirement_lines("runtime") if line != torch_line]
    torch = installed(python).get("torch")
    if torch is None:
        asked = {"oldest": None, "pinned": f"torch=={pinned['torch']}", "newest": "torch"}
        index = os.environ.get("SUPERRES_TORCH_INDEX")
        where = ["--index-url", index] if index else []
        wanted = asked[combination.torch] or oldest(python, torch_line)
        _checked([*pip, "--no-cache-dir", *where, wanted])
        torch = installed(python)["torch"]
    if combination.others == "oldest":
        runtime = [oldest(python, line) for line in runtime]
    pins = venv / "pins.txt"
    lines = [f"torch=={torch}"]
    if combination.others == "pinned":
        lines += [f"{name}=={version}" for name, version in pinned.items() if name != "torch"]
    pins.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _checked([*pip, "-c", pins, *runtime, "-r", ROOT / "requirements/tests.txt"])
    # Releases of torchvision follow torch's, fifteen minor numbers ahead.
    minor = int(torch.split(".")[1]) + 15
    alone = [x for x in requirement_lines("tests-alone") if not x.startswith("torchvision")]
    _checked([*pip, "--no-deps", f"torchvision==0.{minor}.*", *alone], may_fail=True)
    _checked([*pip, "--no-deps", "-e", ROOT])
    (site,) = (venv / "lib").glob("python*/site-packages")
    (site / "superres_warnings.pth").write_text(PTH, encoding="utf-8")
    _checked([python, "-c", "import yapf"])  # makes a grammar file, which two workers must not
    return python


def installed(python: Path) -> dict[str, str]:
    """Names (lower case) and versions of what an environment holds."""
    program = (
        "import json; from importlib.metadata import distributions as ds\n"
        "print(json.dumps({d.metadata['Name'].lower(): d.version for d in ds()}))"
    )
    return json.loads(_checked([python, "-c", program]))


def run_tests(python: Path, tests: list[str], workers: int, report: Path) -> dict[str, Any]:
    """Run pytest; the counts, the failures and the time it took."""
    command = [python, "-m", "pytest", *tests, "-n", workers, f"--junitxml={report}"]
    begin = time.monotonic()
    # Not the caller's PYTHONPATH: it could lead to another checkout or other packages.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command), "-m", MARKERS], cwd=ROOT, capture_output=True, text=True, env=environ
    )
    seconds = round(time.monotonic() - begin)
    report.with_suffix(".log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode not in (0, 1) or not report.exists():
        raise NotRun(f"pytest ended with {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
    return {**counts(report), "seconds": seconds}


def counts(report: Path) -> dict[str, Any]:
    """What a JUnit file says: passed, failed, skipped, and which failed."""
    found: dict[str, Any] = {"passed": 0, "failed": 0, "skipped": 0, "failures": []}
    for case in ET.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            found["failed"] += 1
            found["failures"].append(f"{case.get('classname')}::{case.get('name')}")
        else:
            found["skipped" if "skipped" in kinds else "passed"] += 1
    return found


def run_combination(
    combination: Combination, venv: Path, tests: list[str], workers: int
) -> dict[str, Any]:
    """Install and test one combination; its record."""
    record: dict[str, Any] = {
        "name": combination.name,
        "python": combination.python,
        "asked": {"torch": combination.torch, "others": combination.others},
        "tests": tests,
        "platform": f"{platform.system()} {platform.machine()}",
    }
    try:
        python = install(combination, venv)
        have = installed(python)
        record["versions"] = {name: have.get(name) for name in SHOWN}
        record["python"] = _checked(
            [python, "-c", "import platform; print(platform.python_version())"]
        ).strip()
        record |= run_tests(python, tests, workers, venv / "report.xml")
        record["status"] = "failed" if record["failed"] else "passed"
    except NotRun as error:
        record |= {"status": "not run", "reason": str(error)}
    return record


def recorded() -> dict[str, Any]:
    """The results that are on record."""
    if not RESULTS.exists():
        return {"schema": 1, "combinations": []}
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def table(results: dict[str, Any]) -> str:
    """The records as a Markdown table."""
    head = ["combination", "Python", *SHOWN, "tests", "passed", "failed", "skipped"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for record in results["combinations"]:
        versions = record.get("versions", {})
        cells = [record["name"], record["python"], *(versions.get(n) or "" for n in SHOWN)]
        if record["status"] == "not run":
            cells += ["not run", "", "", ""]
        else:
            cells += [_extent(record["tests"])]
            cells += [str(record[key]) for key in ("passed", "failed", "skipped")]
        lines.append("| " + " | ".join(cells) + " |")
    for record in results["combinations"]:
        if record["status"] == "not run":
            lines += ["", f"`{record['name']}` was not run: {record['reason'].splitlines()[0]}"]
        if record.get("failures"):
            lines += ["", f"Failed on `{record['name']}`:", ""]
            lines += [f"- `{name}`" for name in record["failures"]]
    return "\n".join(lines)


def _extent(tests: list[str]) -> str:
    known = {("tests",): "all", DEFAULT_TESTS: "default", SHORT_TESTS: "short"}
    return known.get(tuple(tests), ", ".join(tests))


def write_table(results: dict[str, Any]) -> None:
    """Put the table into the page, between its two marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}", encoding="utf-8")


def _checked(command: list[Any], may_fail: bool = False) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if done.returncode and not may_fail:
        said = (done.stderr or done.stdout).strip().splitlines()
        errors = [line for line in said if "ERROR" in line] or said
        raise NotRun(errors[0] if errors else f"{command[0]} ended with {done.returncode}")
    return done.stdout


def main() -> int:
    """The command line."""
    names = [c.name for c in COMBINATIONS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--all", action="store_true", help="all tests, not the default folders")
    parser.add_argument("--short", action="store_true", help="a few tests of each part")
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="these tests")
    parser.add_argument("--venvs", type=Path, help="make the environments here, and keep them")
    parser.add_argument("--workers", type=int, default=2, help="pytest's -n")
    parser.add_argument("--table", action="store_true", help="only write the table")
    args = parser.parse_args()
    wanted = [] if args.table else [c for c in COMBINATIONS if c.name in args.only]
    chosen = ["tests"] if args.all else list(SHORT_TESTS if args.short else DEFAULT_TESTS)
    tests = args.tests or chosen
    ok = True
    for combination in wanted:
        with tempfile.TemporaryDirectory(prefix="superres-compat-") as folder:
            venv = (args.venvs or Path(folder)) / combination.name
            record = run_combination(combination, venv, tests, args.workers)
        ok &= record["status"] == "passed"
        print(json.dumps(record, indent=1), flush=True)
        results = recorded()  # now, not before: another run may have added to it
        kept = [r for r in results["combinations"] if r["name"] != record["name"]]
        results["combinations"] = sorted([*kept, record], key=lambda r: names.index(r["name"]))
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_table(recorded())
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
