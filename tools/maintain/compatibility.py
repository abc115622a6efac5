"""Run the tests on the oldest and newest supported Python, torch, numpy and other packages.

    python tools/maintain/compatibility.py                       # all combinations, default tests
    python tools/maintain/compatibility.py --only oldest --short # one of them, a few tests

Makes one virtual environment per combination by uv (``pip install uv``), runs the tests in it with
warnings of our own modules as errors (in the test process and in every process that it starts), and
records what happened in docs/results/compatibility.json, from which tools/maintain/docs.py makes
the table of docs/compatibility.md.

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
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

from maintain import ROOT, filled, markdown_table, requirements

RESULTS = ROOT / "docs/results/compatibility.json"
PAGE = ROOT / "docs/compatibility.md"
SHOWN = ("torch", "numpy", "opencv-python", "mmengine", "mmcv-lite", "lmdb", "pillow")
TESTS = {
    "default": (
        *("tests/imaging", "tests/models", "tests/datasets", "tests/checkpoints"),
        *("tests/inference", "tests/evaluation", "tests/engine/test_config.py"),
        *("tests/engine/test_training.py", "tests/engine/test_resume.py", "tests/export"),
        *("tests/upscaling", "tests/cli/test_main.py"),
    ),
    "short": (
        *("tests/imaging", "tests/models/test_backbones.py", "tests/models/test_layers.py"),
        *("tests/checkpoints/test_reading.py", "tests/engine/test_config.py"),
        *("tests/engine/test_training.py", "tests/evaluation/test_metrics.py"),
    ),
    "all": ("tests",),
}
# Python runs lines that begin with "import" in .pth files at every start: so the filter is on in
# workers and commands too. PYTHONWARNINGS cannot say "and all modules below".
PTH = "import warnings; warnings.filterwarnings('error', module='superres')\n"
# Name -> Python, torch, other packages.
COMBINATIONS = {
    "oldest": ("3.11", "oldest", "oldest"),
    "oldest-others": ("3.11", "pinned", "oldest"),
    "pinned": ("3.11", "pinned", "pinned"),
    "pinned-3.12": ("3.12", "pinned", "pinned"),
    "newest-others": ("3.13", "pinned", "newest"),
    "newest-torch": ("3.11", "newest", "pinned"),
    "newest": ("3.13", "newest", "newest"),
}
_LOWEST = ("--resolution", "lowest-direct", "--only-binary", ":all:")


class NotRun(Exception):
    """A combination cannot be made here; the message says why."""


def install(combination: str, venv: Path) -> Path:
    """Make the environment; returns its Python."""
    version, torch, others = COMBINATIONS[combination]
    python = venv / "bin/python"
    _checked(["uv", "venv", "--quiet", "--no-python-downloads", "--python", version, venv])

    def add(*words: Any) -> None:
        _checked(["uv", "pip", "install", "--quiet", "--python", python, *words])

    def pins() -> Path:
        """A file for ``-c``: what is installed so far, and the rest of the tested set."""
        lines = _checked(["uv", "pip", "freeze", "--quiet", "--python", python]).splitlines()
        if others == "pinned":
            have = {line.partition("==")[0] for line in lines}
            lines += [x for x in tested if x.partition("==")[0] not in have]
        (venv / "pins.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return venv / "pins.txt"

    tested = requirements("constraints")
    (pinned,) = [line for line in tested if line.startswith("torch==")]
    (wanted,) = [x for x in requirements("runtime") if x.startswith("torch>")]
    index = os.environ.get("SUPERRES_TORCH_INDEX")
    where = ["--default-index", index] if index else []
    add(*where, *(_LOWEST if torch == "oldest" else ()), pinned if torch == "pinned" else wanted)
    numbers = _checked([python, "-c", "import importlib.metadata as m; print(m.version('torch'))"])
    runtime = [x for x in requirements("runtime") if x != wanted]
    add("-c", pins(), *(_LOWEST if others == "oldest" else ()), *runtime)
    add("-c", pins(), "-r", ROOT / "requirements/tests.txt")
    # Releases of torchvision follow torch's, fifteen minor numbers ahead.
    vision = f"torchvision==0.{int(numbers.split('.')[1]) + 15}.*"
    for package in (vision, *(x for x in requirements("tests-alone") if "torchvision" not in x)):
        try:
            add("--no-deps", package)
        except NotRun:
            print(f"{package} is left out: its tests are skipped")
    add("--no-deps", "-e", ROOT)
    (site,) = (venv / "lib").glob("python*/site-packages")
    (site / "superres_warnings.pth").write_text(PTH, encoding="utf-8")
    _checked([python, "-c", "import yapf"])  # makes a grammar file, which two workers must not
    return python


def run_tests(python: Path, tests: list[str], report: Path) -> dict[str, Any]:
    """Run pytest; the counts, the failures and the time it took."""
    command = [python, "-m", "pytest", *tests, "-n", 2, f"--junitxml={report}"]
    begin = time.monotonic()
    # Not the caller's PYTHONPATH: it could lead to another checkout or other packages.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command), "-m", "not slow and not gpu"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    if done.returncode not in (0, 1) or not report.exists():
        raise NotRun(f"pytest ended with {done.returncode}: {done.stdout[-500:]}")
    return {**counts(report), "seconds": round(time.monotonic() - begin)}


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


def run_combination(combination: str, venv: Path, tests: list[str]) -> dict[str, Any]:
    """Install and test one combination; its record."""
    version, torch, others = COMBINATIONS[combination]
    record: dict[str, Any] = {"name": combination, "python": version}
    record |= {"asked": {"torch": torch, "others": others}, "tests": tests}
    record["platform"] = f"{platform.system()} {platform.machine()}"
    program = (
        "import json, platform, importlib.metadata as m\n"
        f"have = {{n: m.version(n) for n in {SHOWN}}}\n"
        "print(json.dumps({'versions': have, 'python': platform.python_version()}))"
    )
    try:
        python = install(combination, venv)
        record |= json.loads(_checked([python, "-c", program]))
        record |= run_tests(python, tests, venv / "report.xml")
        record["status"] = "failed" if record["failed"] else "passed"
    except NotRun as error:
        record |= {"status": "not run", "reason": str(error)}
    return record


def pages() -> dict[Path, str]:
    """The page."""
    return {PAGE: filled(PAGE, table(json.loads(RESULTS.read_text(encoding="utf-8"))))}


def table(results: dict[str, Any]) -> str:
    """The records as a Markdown table."""
    rows, told = [], []
    for record in results["combinations"]:
        versions = record.get("versions", {})
        row = [record["name"], record["python"], *(versions.get(n) or "" for n in SHOWN)]
        if record["status"] == "not run":
            rows.append([*row, "not run", "", "", ""])
            told += ["", f"`{record['name']}` was not run: {record['reason'].splitlines()[0]}"]
            continue
        names = [name for name, tests in TESTS.items() if list(tests) == record["tests"]]
        rows.append([*row, names[0] if names else ", ".join(record["tests"])])
        rows[-1] += [str(record[key]) for key in ("passed", "failed", "skipped")]
        if record["failures"]:
            told += ["", f"Failed on `{record['name']}`:", ""]
            told += [f"- `{name}`" for name in record["failures"]]
    head = ["combination", "Python", *SHOWN, "tests", "passed", "failed", "skipped"]
    return "\n".join([*markdown_table(head, rows), *told])


def _checked(command: list[Any]) -> str:
    try:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NotRun(f"{error.filename} is not installed") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise NotRun(said or f"{command[0]} ended with {done.returncode}")
    return done.stdout


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*COMBINATIONS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--all", action="store_const", const="all", dest="tests")
    parser.add_argument("--short", action="store_const", const="short", dest="tests")
    args = parser.parse_args()
    tests = list(TESTS[args.tests or "default"])
    ok = True
    for combination in args.only:
        with tempfile.TemporaryDirectory(prefix="superres-compat-") as folder:
            record = run_combination(combination, Path(folder) / "venv", tests)
        ok &= record["status"] == "passed"
        print(json.dumps(record, indent=1), flush=True)
        results = json.loads(RESULTS.read_text(encoding="utf-8"))  # another run may add to it
        kept = [r for r in results["combinations"] if r["name"] != combination]
        results["combinations"] = sorted([*kept, record], key=lambda r: names.index(r["name"]))
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
