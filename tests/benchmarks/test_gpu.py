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


def rehearsed(folder: Path, *stages: str) -> dict[str, dict]:
    """The files of some stages, or of all: whole, in the benchmarks' schema, nothing wrong."""
    words = [*stages, "--rehearse", "--limit", "600", "--work", str(folder)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.stem: json.loads(path.read_text()) for path in (folder / "out").glob("*.json")}
    assert made
    for stage, found in made.items():
        assert set(found) == SCHEMA | {"checks"}
        assert (found["schema"], found["benchmark"]) == (1, f"gpu {stage}")
        for check in found["checks"]:
            assert check["outcome"] == "ok" or check["text"] == "needs a CUDA device", check
    return made


@pytest.fixture
def gpu():
    """The script as a module."""
    return importlib.import_module("benchmarks.gpu")


def test_rehearsal_of_one_stage(tmp_path):
    found = rehearsed(tmp_path, "loop")["loop"]
    assert [c["outcome"] for c in found["checks"]] == ["ok"] * 4 + ["skipped"]
    values = {v["name"]: v["median"] for v in found["variants"]}
    rate, image = values["auto, cache on the device"], values["validation, an image of DIV2K"]
    start = values["auto, cache on the device: start"]
    minutes = values["auto, cache on the device: 300,000 iterations, 60 validations on DIV2K"]
    assert minutes == pytest.approx((300_000 / rate + start + 60 * 100 * image) / 60)


@pytest.mark.slow
def test_the_whole_rehearsal(tmp_path):
    made = rehearsed(tmp_path)
    assert set(made) == {"pack", "ladder", "checks", "loop", "train"}
    names = {v["name"] for v in made["ladder"]["variants"]}
    assert names >= {"off", "channels_last", "fused", "bf16", "compile"}
    assert "to iteration 40; " in made["train"]["checks"][0]["text"]
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"best.pth", "train.jsonl"}


def test_a_check_that_ends_its_process_costs_only_itself(gpu, tmp_path, monkeypatch):
    works = {
        "fine": lambda rig: (True, ""),
        "dies": lambda rig: os._exit(7),
        "hangs": lambda rig: time.sleep(100),
        "last": lambda rig: (False, ""),
    }
    monkeypatch.setitem(gpu.STAGES, "checks", [*works.items()])
    args = SimpleNamespace(work=tmp_path, out=tmp_path, limit=6, rehearse=True)
    record = gpu.run_stage("checks", args)
    assert [(c["name"], c["outcome"], c["text"]) for c in record] == [
        ("fine", "ok", ""),
        ("dies", "failed", "ended with 7"),
        ("hangs", "failed", "did not end in time"),
        ("last", "differs", ""),
    ]
    monkeypatch.setattr(gpu, "run_stage", lambda *_: record)
    monkeypatch.setattr(os, "environ", {**os.environ})
    assert gpu.main(["checks", "--work", str(tmp_path)]) == 1


@pytest.mark.parametrize("words", [["lader"], ["loop", "--photos", "nowhere"]])
def test_mistakes(gpu, capsys, words):
    with pytest.raises(SystemExit, match="2"):
        gpu.main(words)
    assert words[-1] in capsys.readouterr().err
