"""A results.json and the name of an image from elsewhere, through the real commands."""

from __future__ import annotations

import numpy as np

from superres.cli.main import main
from superres.imaging.io import write_image


def test_a_results_json_without_end(tmp_path, capsys):
    (tmp_path / "results.json").symlink_to("/dev/zero")
    assert main(["table", str(tmp_path)]) == 2
    assert "is a device" in capsys.readouterr().err


def test_a_script_in_a_file_name_stays_text(tmp_path, monkeypatch):
    name = "<script>document.title='x'<"
    for side, shape in (("sr", (32, 32, 3)), ("hr", (32, 32, 3))):
        (tmp_path / side).mkdir()
        write_image(tmp_path / side / f"{name}.png", np.full(shape, 9, np.uint8))
    arguments = ["score", str(tmp_path / "sr"), str(tmp_path / "hr"), "--scale", "2"]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--report"]) == 0
    report = (tmp_path / "out" / "report.html").read_text()
    assert "<script>document" not in report
    assert "&lt;script&gt;document" in report
    page = tmp_path / "page.html"
    upscale = ["upscale", str(tmp_path / "sr" / f"{name}.png"), "--model", "edsr-s_x2"]
    assert main([*upscale, "-o", str(tmp_path / "large"), "--compare", str(page)]) == 0
    assert "<script>document" not in page.read_text()
    assert "&lt;script&gt;document" in page.read_text()
