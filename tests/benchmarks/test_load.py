"""The load benchmark: what it sees of processes, and the page of its results."""

from __future__ import annotations

import json
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from superres.benchmarks import _load_page as page
from superres.benchmarks import _load_runs as runs
from superres.benchmarks._watch import watch
from superres.cli.main import main

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
    run = runs._constant(["grows"], grown, 40, {"results": 40})
    assert not run["holds"]
    assert run["bytes per item"] > 2**18


def test_a_page_with_a_plot(grown, tmp_path):
    run = runs._constant(["superres", "upscale"], grown, 40, {"results": 40})
    report = {"device": "cpu", "versions": {"python": "3"}, "runs": {"folder": {"a run": run}}}
    (tmp_path / "load.json").write_text(json.dumps(report))
    assert page.main([str(tmp_path / "load.json"), str(tmp_path / "load.md")]) == 0
    text = (tmp_path / "load.md").read_text()
    assert "| a run | `superres upscale` |" in text
    assert "**no**" in text
    svg = ET.parse(tmp_path / page.PLOT)
    assert svg.getroot().tag.endswith("svg")
    (line,) = svg.iter("{http://www.w3.org/2000/svg}polyline")
    heights = [float(point.split(",")[1]) for point in line.get("points").split()]
    assert heights[0] > heights[len(heights) // 2] > min(heights)  # upwards: smaller is higher


def test_wrong_words_are_told(tmp_path, capsys):
    assert main(["benchmark", "load", "folders"]) == 2
    assert "no run 'folders'" in capsys.readouterr().err
    assert main(["benchmark", "load", "--size", "30000"]) == 2
    assert "WIDTHxHEIGHT" in capsys.readouterr().err
    other = tmp_path / "other.json"
    other.write_text("[]")
    assert main(["benchmark", "load", "reads", "--json", str(other)]) == 2
    assert "no result of this benchmark" in capsys.readouterr().err


@pytest.mark.slow
def test_a_large_picture_from_disk_to_disk(tmp_path):
    found = runs.picture(tmp_path, 3000, 2000, ["png", "tif"])
    for run in found.values():
        assert run["holds"], run
        assert run["result"] == "3000x2000"
        assert run["largest difference"] <= 1


def test_the_page_is_of_the_result():
    root = Path(__file__).resolve().parents[2]
    report = json.loads((root / "docs/results/load.json").read_text(encoding="utf-8"))
    assert (root / "docs/load.md").read_text(encoding="utf-8") == page.page(report)
    assert (root / "docs" / page.PLOT).read_text(encoding="utf-8") == page.plot(report)
    assert {"folder", "picture", "reads"} <= set(report["runs"])
