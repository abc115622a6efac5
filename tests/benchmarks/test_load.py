"""The load benchmark: what it sees of processes, and what it does with little work."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmark import main
from benchmarks import load
from benchmarks._watch import watch
from superres.errors import UserError

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc"
)

GROWING = """
import subprocess, sys, time
print("begun", flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3)"])
kept, files = [], []
for _ in range(40):
    kept.append(bytearray(b"x" * (1 << 20)))
    files.append(open("/dev/null"))
    time.sleep(0.05)
child.kill()
"""


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grown")
    return watch([sys.executable, "-c", GROWING], folder, dict(os.environ), every=0.05)


def test_what_grows_is_seen(grown):
    assert grown.exit_code == 0
    assert grown.processes == 2
    assert 0 < grown.first_word < grown.samples[-1]["seconds"]
    # Four fifths of 40, less at both ends what the child is not there for.
    assert 15 < grown.growth("own") < 40
    assert 15 < grown.growth("files") < 40
    assert grown.peak >= max(s["own"] for s in grown.samples)


def test_growth_does_not_hold(grown):
    run = load._constant(["grows"], grown, 40, results=40)
    assert not run["holds"]
    assert run["bytes per item"] > 2**18


@pytest.mark.parametrize(
    ("words", "told"),
    [(["folders"], "no run 'folders'"), (["--size", "30000"], "WIDTHxHEIGHT"),
     (["reads", "--json", __file__], "no result of this benchmark")],
)  # fmt: skip
def test_wrong_words_are_told(words, told):
    with pytest.raises(UserError, match=told):
        main(["load", *words])


def test_a_small_folder(tmp_path):
    with pytest.raises(UserError, match="too short a run"):  # for growth; all else has worked
        load.folder(tmp_path, 2)
    assert len(list((tmp_path / "sr").iterdir())) == 2
    assert (tmp_path / "scores/results.json").is_file()


@pytest.mark.slow
def test_a_large_picture_from_disk_to_disk(tmp_path):
    found = load.picture(tmp_path, 3000, 2000, ["png", "tif"])
    for run in found.values():
        assert run["holds"], run
        assert run["result"] == "3000x2000"
        assert run["largest difference"] <= 1
