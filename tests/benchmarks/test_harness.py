"""The harness: order, medians, units, schema, and what the commands import."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import pytest

from superres.benchmarks import harness
from superres.cli import benchmark as command
from superres.errors import UserError

SCHEMA = {"schema", "benchmark", "device", "versions", "setup", "variants", "ratios"}


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


def test_the_median_ignores_a_hiccup():
    assert harness.row("x", [1, 1, 1, 1, 1, 1, 900], "ms")["median"] == 1


def test_ratio():
    rows = [
        harness.row("slow", [8.0], "ms"),
        harness.row("fast", [2.0], "ms"),
        harness.row("size", [2.0], "MiB"),
    ]
    assert harness.ratio(rows, "slow", "fast") == 4
    with pytest.raises(ValueError, match="MiB"):
        harness.ratio(rows, "slow", "size")


def test_too_few_repeats_and_equal_names():
    with pytest.raises(UserError, match="7"):
        harness.measure([harness.Variant("a", int)], repeats=6)
    with pytest.raises(ValueError, match="same name"):
        harness.measure([harness.Variant("a", int), harness.Variant("a", int)])


def run_command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(list(words)))


def test_resize_benchmark_writes_the_schema(tmp_path, capsys):
    file = tmp_path / "out.json"
    small = ("--height", "90", "--width", "121", "--scale", "4")
    assert run_command("resize", "--json", str(file), *small) == 0
    result = json.loads(file.read_text(encoding="utf-8"))
    assert set(result) == SCHEMA
    assert (result["schema"], result["benchmark"]) == (1, "resize")
    for variant in result["variants"]:
        assert set(variant) == {"name", "median", "unit", "repeats"}
        assert variant["repeats"] >= 7
        assert variant["median"] > 0
    medians = {v["name"]: v["median"] for v in result["variants"]}
    ratio = result["ratios"]["sample loop / superres"]
    expected = medians["python loop, sample by sample"] / medians["superres imresize"]
    assert ratio == pytest.approx(expected)
    assert "numpy" in result["versions"]
    printed = capsys.readouterr().out
    assert "cv2 INTER_AREA" in printed
    assert f"{ratio:,.2f}" in printed


def test_user_errors(tmp_path):
    with pytest.raises(UserError, match="--repeats"):
        run_command("resize", "--repeats", "3")
    with pytest.raises(UserError, match="--json"):
        run_command("resize", "--json", str(tmp_path / "missing" / "out.json"))
    with pytest.raises(UserError, match="shrink"):
        run_command("resize", "--height", "2", "--width", "8")


def test_help_imports_nothing_heavy():
    code = (
        "import argparse, sys\n"
        "from superres.cli import benchmark\n"
        "parser = argparse.ArgumentParser()\n"
        "benchmark.add_arguments(parser)\n"
        "parser.format_help()\n"
        "assert 'resize' in benchmark.benchmark_names()\n"
        "heavy = {'numpy', 'cv2', 'torch', 'mmengine', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_benchmark_has_the_two_functions():
    import importlib

    for name in command.benchmark_names():
        module = importlib.import_module(f"superres.benchmarks.{name}")
        assert module.__doc__
        assert callable(module.add_arguments)
        assert callable(module.run)
