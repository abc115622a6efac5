"""The harness: order, medians, units; and that every benchmark names itself and its options."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import harness
from superres.errors import UserError

SCHEMA = {"schema", "benchmark", "device", "versions", "setup", "variants", "ratios"}
SCRIPT = Path(__file__).resolve().parents[2] / "tools/benchmark.py"


def test_variants_are_interleaved_and_the_warm_up_does_not_count():
    calls = []
    variants = [harness.Variant(n, lambda n=n: calls.append(n)) for n in "abc"]
    rows = harness.measure(variants, repeats=7, warmup=2)
    assert "".join(calls) == "abc" * 9
    assert [(r["name"], r["repeats"]) for r in rows] == [("a", 7), ("b", 7), ("c", 7)]


def test_times_and_units():
    def nap():
        time.sleep(0.01)

    variants = [
        harness.Variant("seconds", nap, unit="s"),
        harness.Variant("one", nap),
        harness.Variant("four", nap, items=4, unit="us/sample"),
        harness.Variant("rate", nap, items=5, unit="it/s"),
    ]
    seconds, one, four, rate = (r["median"] for r in harness.measure(variants))
    assert 0.01 <= seconds < 0.03
    assert 10 <= one < 30
    assert 2500 <= four < 7500
    assert 165 < rate <= 500
    assert harness.row("x", [1, 1, 1, 1, 1, 1, 900], "ms")["median"] == 1  # a hiccup


def test_ratios():
    rows = [harness.row(n, [v], "ms") for n, v in (("a", 8), ("b", 2))]
    assert harness.ratios(rows, ("a", "b"), ("b", "a")) == {"a / b": 4, "b / a": 0.25}


def test_a_process_that_fails_is_told():
    assert harness.python("-c", "import benchmarks, superres; print(7)") == "7\n"
    with pytest.raises(UserError, match="broken"):
        harness.python("-c", "raise SystemExit('broken')")


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True)


def test_the_command_lists_what_there_is():
    names = run("--help").stdout
    for name in ("data", "infer", "loop", "metrics", "photo", "resize", "startup", "train"):
        assert f"    {name} " in names
    for words in (["resize", "--repeats", "6"], ["resize", "--json", "/nowhere/x"]):
        done = run(*words)
        assert done.returncode == 2
        assert "error: " in done.stderr
        assert "Traceback" not in done.stderr
