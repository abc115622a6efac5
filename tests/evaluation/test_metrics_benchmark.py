"""The benchmark of the metrics runs and checks itself; speed is not tested here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_it_runs(tmp_path):
    out = tmp_path / "metrics.json"
    command = [sys.executable, str(ROOT / "tools" / "benchmark.py"), "metrics"]
    options = ["--height", "64", "--width", "80", "--json", str(out)]
    subprocess.run([*command, *options], check=True, capture_output=True)
    result = json.loads(out.read_text())
    assert (result["schema"], result["benchmark"]) == (1, "metrics")
    assert set(result["ratios"]) == {"PSNR-Y plain / superres", "SSIM-Y plain / superres"}
    assert all(value > 0 for value in result["ratios"].values())
    assert all(variant["repeats"] >= 7 for variant in result["variants"])
