"""tools/benchmarks/gpu.py without a GPU: its rehearsal, and its processes."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from .test_harness import SCHEMA

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools/benchmarks/gpu.py"


def run(*arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )


def results(out: Path, stage: str) -> dict:
    """A stage's file: whole, in the benchmarks' schema, with nothing wrong in it."""
    found = json.loads((out / f"{stage}.json").read_text())
    assert set(found) == SCHEMA | {"checks"}
    assert (found["schema"], found["benchmark"]) == (1, f"gpu {stage}")
    assert found["setup"]["rehearsal"] is True
    for check in found["checks"]:
        assert check["outcome"] in ("ok", "skipped"), check
        assert check["outcome"] == "ok" or check["text"] == "needs a CUDA device"
    return found


@pytest.fixture
def gpu():
    """The script as a module."""
    return importlib.import_module("benchmarks.gpu")


def test_rehearsal_of_one_stage(tmp_path):
    done = run("loop", "--rehearse", "--work", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = results(tmp_path / "out", "loop")
    outcomes = {check["name"]: check["outcome"] for check in found["checks"]}
    assert outcomes == {
        "validation": "ok",
        "max without compile, cache on the device": "ok",
        f"max without compile, num_workers={max(1, min(12, (os.cpu_count() or 3) - 2))}": "ok",
        "auto, cache on the device": "ok",
        "max, cache on the device": "skipped",
    }
    assert "skipped  max, cache on the device: needs a CUDA device" in done.stdout
    values = {v["name"]: v["median"] for v in found["variants"]}
    rate, image = values["auto, cache on the device"], values["validation, an image of DIV2K"]
    start = values["auto, cache on the device: start"]
    minutes = values["auto, cache on the device: 300,000 iterations, 60 validations on DIV2K"]
    assert minutes == pytest.approx((300_000 / rate + start + 60 * 100 * image) / 60)


@pytest.mark.slow
def test_the_whole_rehearsal(tmp_path):
    done = run("--rehearse", "--limit", "600", "--work", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "out"
    made = {stage: results(out, stage) for stage in ("ladder", "checks", "loop", "train")}
    names = [v["name"] for v in made["ladder"]["variants"]]
    assert {"off", "channels_last", "fused", "bf16", "compiled: compile"} <= set(names)
    text = made["train"]["checks"][0]["text"]
    assert "to iteration 40; " in text
    assert (out / "best.pth").is_file()


def test_a_check_that_ends_its_process_costs_only_itself(gpu, tmp_path, monkeypatch, capsys):
    works = {
        "fine": lambda rig: (True, "", {}),
        "dies": lambda rig: os._exit(7),
        "hangs": lambda rig: time.sleep(100),
        "last": lambda rig: (False, "", {}),
    }
    checks = [gpu.Check(name, work) for name, work in works.items()]
    monkeypatch.setitem(gpu.STAGES, "checks", checks)
    monkeypatch.setattr(gpu.Rig, "left", lambda rig: 100)
    args = SimpleNamespace(work=tmp_path, out=tmp_path, limit=6, rehearse=True)
    record = gpu.run_stage("checks", args)
    assert [(c["name"], c["outcome"], c["text"]) for c in record["checks"]] == [
        ("fine", "ok", ""),
        ("dies", "failed", "its process ended with 7"),
        ("hangs", "failed", "did not end in time"),
        ("last", "differs", ""),
    ]
    assert json.loads((tmp_path / "checks.json").read_text()) == record
    assert gpu.summary({"checks": record}) == 1
    assert "1 ok, 0 skipped, 1 differs, 2 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lader"], "no such stage: lader"),
        (["loop", "--photos", "nowhere"], "no such folder: nowhere"),
    ],
)
def test_mistakes(gpu, capsys, arguments, words):
    with pytest.raises(SystemExit) as error:
        gpu.main(arguments)
    assert error.value.code == 2
    assert words in capsys.readouterr().err
