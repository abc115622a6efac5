"""A results.json, a picture and an archive from elsewhere, through the real commands."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib

import numpy as np
import pytest

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


def bomb() -> bytes:
    """The head of a PNG of 100,000 x 100,000 pixels."""
    head = b"IHDR" + struct.pack(">II", 100_000, 100_000) + b"\x08\x02\0\0\0"
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head
    return data + struct.pack(">I", zlib.crc32(head)) + b"\0\0\x10\0IDAT\x78\x9c"


def test_an_enormous_picture_is_refused(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(bomb())
    before = sorted(tmp_path.rglob("*"))
    assert main(["upscale", str(tmp_path / "a.png"), "--model", "edsr-s_x2"]) != 0
    said = capsys.readouterr()
    assert "100000x100000 pixels are more than the limit" in said.err + said.out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_that_leads_out(mode, tmp_path, capsys):
    source = tmp_path / "deep" / "s"
    source.mkdir(parents=True)
    with tarfile.open(source / ("a.tar" if mode == "w" else "a.tar.gz"), mode) as archive:
        info = tarfile.TarInfo("../evil.png")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"evil"))
    out = tmp_path / "deep" / "d"
    code = main(["data", "prepare", "folder", "--root", str(source), "--out", str(out)])
    assert code == 2
    assert "would lead out of the folder" in capsys.readouterr().err
    assert not list(tmp_path.rglob("evil*"))
