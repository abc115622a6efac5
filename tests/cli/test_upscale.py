"""superres upscale on real files of every kind, good and bad."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import superres
from superres.checkpoints import convert
from superres.cli.main import main
from superres.imaging.io import read_image

from ..upscaling.conftest import _one_thread, exif, icc, scene, weights, zoo

__all__ = ["_one_thread", "weights", "zoo"]
ROOT = Path(__file__).resolve().parents[2]
TOOL = [sys.executable, str(ROOT / "tools/upscale.py")]


@pytest.fixture
def upscale(weights, capsys):
    """``upscale(*arguments, code=0)``: what was said, all together."""

    def run(*arguments, code=0, scale=2):
        capsys.readouterr()
        model = ["--model", weights(scale), "--backend", "torch"]
        assert main(["upscale", *map(str, arguments), *model]) == code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return said.out + said.err

    return run


def opened(path):
    with Image.open(path) as image:
        image.load()
        return image


def test_a_folder_of_every_kind(zoo, upscale, tmp_path):
    out, report = tmp_path / "out", tmp_path / "report.json"
    said = upscale(zoo, "-o", out, "--json", report, code=1)
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    sources = {p.relative_to(zoo).as_posix() for p in zoo.rglob("*") if p.is_file()}
    assert names == sources - {"cut.jpg", "text.png"}
    for name in sorted(names):
        if name not in ("one.png", "turned.tif"):
            assert opened(out / name).size == (112, 80), name
    assert opened(out / "turned.tif").size == (80, 112)  # Pillow turns TIFFs by itself
    assert opened(out / "one.png").size == (2, 2)
    # Kinds.
    modes = {
        "photo.jpg": "RGB", "grey.png": "L", "grey_alpha.png": "LA", "bilevel.png": "L",
        "alpha.png": "RGBA", "alpha.webp": "RGBA", "sub/alpha.tif": "RGBA", "palette.png": "RGBA",
        "cmyk.jpg": "RGB", "old.bmp": "RGB",
    }  # fmt: skip
    assert {name: opened(out / name).mode for name in modes} == modes
    for name in ("sub/deep.png", "sub/deep.tif"):
        deep = read_image(out / name, dtype="keep")
        assert deep.dtype == np.uint16
        small = deep.reshape(40, 2, 56, 2, 3).mean((1, 3))
        assert np.abs(small / 257 - scene()).mean() < 6
    # What files carry.
    photo = opened(out / "photo.jpg")
    assert photo.info["icc_profile"] == icc()
    assert photo.getexif()[274] == 6
    assert photo.getexif()[271] == "Maker"
    assert photo.getexif().get_ifd(0x8769)[0xA002] == 112
    assert opened(out / "plain.png").info["icc_profile"] == icc()
    assert opened(out / "turned.webp").getexif()[274] == 8
    with Image.open(out / "turned.tif") as turned:
        assert turned.tag_v2[274] == 6
    # What went wrong.
    for words in (
        "text.png: not an image",
        "cut.jpg: a JPEG whose header cannot be read",
        "2 failed",
    ):
        assert words in said
    assert "new\\nline\\xff.png" in said
    record = json.loads(report.read_text())
    states = [r["status"] for r in record["results"]]
    assert states.count("failed") == 2
    assert states.count("done") == len(names)
    assert record["backend"] == "torch"
    assert not [p for p in tmp_path.rglob(".*") if p.name.endswith(".tmp")]


def test_results_among_the_inputs_are_not_enlarged_again(upscale, tmp_path):
    for name in ("a.png", "b.jpg"):
        Image.fromarray(scene()).save(tmp_path / name)
    pattern = tmp_path / "*.*"
    upscale(pattern, "--compare")
    said = upscale(pattern, "--compare")
    assert "result of an earlier run" in said
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == [
        "a.png", "a_x2.png", "a_x2_compare.png", "b.jpg", "b_x2.jpg", "b_x2_compare.png",
    ]  # fmt: skip


def test_output_inside_the_input(upscale, tmp_path):
    (tmp_path / "pics" / "sub").mkdir(parents=True)
    Image.fromarray(scene()).save(tmp_path / "pics" / "sub" / "a.png")
    for _ in range(2):
        upscale(tmp_path / "pics", "-o", tmp_path / "pics" / "large", "--overwrite")
    found = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png"))
    assert found == ["pics/large/sub/a.png", "pics/sub/a.png"]


def test_inputs_are_never_overwritten(upscale, tmp_path):
    source = tmp_path / "a.png"
    Image.fromarray(scene()).save(source)
    os.link(source, tmp_path / "same.png")
    before = source.read_bytes()
    assert "never overwritten" in upscale(source, "-o", tmp_path / "same.png", code=2)
    upscale(tmp_path, "-o", tmp_path)
    assert source.read_bytes() == before
    assert opened(tmp_path / "a_x2.png").size == (112, 80)


def test_two_sources_of_one_name(upscale, tmp_path):
    Image.fromarray(scene()).save(tmp_path / "a.png")
    Image.fromarray(255 - scene()).save(tmp_path / "a.jpg")
    upscale(tmp_path / "a.png", tmp_path / "a.jpg", "-o", tmp_path / "out", "--format", "png")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "a_jpg.png"]


def test_formats(upscale, tmp_path):
    rgba = np.dstack([scene(), np.full((40, 56), 128, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    Image.fromarray(scene()).save(tmp_path / "turned.jpg", exif=exif(6))
    for name, kind in (("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP"), ("tiff", "TIFF")):
        out = tmp_path / name
        said = upscale(tmp_path / "a.png", tmp_path / "turned.jpg", "-o", out, "--format", name)
        assert {opened(p).format for p in out.iterdir()} == {kind}
        assert ("put on white" in said) == (name == "jpg")
    assert "BMP has no transparency" in upscale(tmp_path / "a.png", "-o", tmp_path / "a.bmp")
    # Viewers of PNGs do not turn them, so that they are turned here.
    assert opened(tmp_path / "png" / "turned.png").size == (80, 112)
    assert opened(tmp_path / "jpg" / "turned.jpg").size == (112, 80)


def test_streams(weights, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(scene()).save(buffer, "PNG")
    done = subprocess.run(
        [*TOOL, "-", "--model", weights(2), "--backend", "torch", "--format", "jpg"],
        input=buffer.getvalue(), capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    image = Image.open(io.BytesIO(done.stdout))
    assert (image.format, image.size) == ("JPEG", (112, 80))
    assert b"back end torch" in done.stderr
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    done = subprocess.run(
        [*TOOL, str(tmp_path / "a.png"), "-o", "-", "--model", weights(2), "--backend", "torch"],
        capture_output=True, timeout=120,
    )  # fmt: skip
    assert Image.open(io.BytesIO(done.stdout)).size == (112, 80)


def test_scale_and_tiles(upscale, tmp_path, monkeypatch):
    Image.fromarray(scene()).save(tmp_path / "a.png")
    monkeypatch.setattr("superres.cli._progress._SECONDS", 0)  # any work is long
    said = upscale(tmp_path / "a.png", "--scale", "3", "--tile", "16", scale=4)
    assert "made x4 by the network, then resized to x3" in said
    assert said.count("a.png: 56x40 to 168x120, about ") == 1
    assert opened(tmp_path / "a_x3.png").size == (168, 120)
    upscale(tmp_path / "a.png", "--scale", "2.5", "--self-ensemble", scale=4)
    assert opened(tmp_path / "a_x2.5.png").size == (140, 100)


def test_comparisons(upscale, tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(scene()).save(tmp_path / name)
    upscale(tmp_path / "a.png", tmp_path / "b.png", "--compare", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<section>") == 2
    assert page.count("data:image/webp;base64,") == 4
    for _ in range(2):
        upscale(tmp_path / "a.png", "--compare", tmp_path / "c.png", "--json", tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text())["results"][0]["status"] == "skipped"
    assert opened(tmp_path / "c.png").width > 300
    assert "is there already" in upscale(
        "--compare", tmp_path / "c.png", tmp_path / "b.png", "-o", tmp_path / "new.png", code=2
    )


def test_mistakes(upscale, tmp_path, monkeypatch):
    a, b, there = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "there"
    for path in (a, b):
        Image.fromarray(scene()).save(path)
    there.write_text("precious")
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        ([], "name an image"),
        ([tmp_path / "c.png"], "no such file"),
        ([tmp_path / "*.jpg"], "no image matches"),
        ([tmp_path / "empty"], "no images in"),
        ([a, "--scale", "0"], "1 to 64"),
        ([a, "--tile", "x"], "tile must be"),
        ([a, "--quality", "200"], "1 to 100"),
        ([a, "--device", "cuda:99"], "CUDA"),
        ([a, "--max-pixels", "x"], "--max-pixels"),
        ([a, "--json", tmp_path / "no" / "x.json"], "folder does not exist"),
        ([a, "--json", tmp_path], "is a folder; name a file in it"),
        # As `--json *.png` is understood.
        ([a, "--json", b, "--overwrite"], "not named as a report"),
        ([a, "-o", tmp_path / "x.pgn"], "cannot write .pgn"),
        ([a, b, "-o", tmp_path / "x.png"], "named as one; 2 results need"),
        ([tmp_path, "-o", tmp_path / "x.png"], "is a file, or named as one"),
        ([a, "-o", tmp_path / "x.png", "--format", "jpg"], "named as --format"),
        ([a, "-o", there], "is a file, or named as one"),
        ([a, "-o", a, "--overwrite"], "never overwritten"),
        ([a, "--compare", a, "--overwrite"], "never overwritten"),
        ([a, b, "--compare", tmp_path / "x.png"], "there are 2 inputs"),
    ):
        assert words in upscale(*arguments, code=2), arguments
    for limit in ("many", "-1", "1.5"):
        monkeypatch.setenv("SUPERRES_MAX_PIXELS", limit)
        assert "not a positive whole number" in upscale(a, code=2)
    monkeypatch.delenv("SUPERRES_MAX_PIXELS")
    assert "more than the limit" in upscale(a, "--max-pixels", "2k", code=1)
    assert "File exists" in upscale(a, "-o", there / "x.png", code=1)
    assert there.read_text() == "precious"
    assert (read_image(b) == scene()).all()
    said = upscale(tmp_path / "gone.png", a, "--max-pixels", "1M", code=1)
    assert "gone.png: no such file" in said
    assert (tmp_path / "a_x2.png").exists()


def test_what_is_wrong_for_all_is_said_once(weights, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        Image.fromarray(scene()).save(tmp_path / name)
    command = ["upscale", str(tmp_path), "--model", weights(2), "--backend", "abacus"]
    assert main(command) == 2
    assert capsys.readouterr().err.count("abacus") == 1


def test_outputs_that_are_folders(upscale, tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(scene()).save(tmp_path / name)
    upscale(tmp_path / "a.png", tmp_path / "b.png", "-o", f"{tmp_path / 'x.png'}/")
    upscale(tmp_path / "a.png", "-o", tmp_path / "v1.5")
    made = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.glob("*/*.png"))
    assert made == ["v1.5/a.png", "x.png/a.png", "x.png/b.png"]


def test_a_name_that_grows_too_long(upscale, tmp_path):
    for name in ("n" * 250, "b"):
        Image.fromarray(scene()).save(tmp_path / f"{name}.png")
    said = upscale(tmp_path / "*.png", code=1)
    assert "name too long" in said
    assert opened(tmp_path / "b_x2.png").size == (112, 80)


def test_kinds_that_are_not_read_are_told(upscale, tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    assert "1 .heic" in upscale(tmp_path, code=2)
    Image.fromarray(scene()).save(tmp_path / "b.png")
    assert "not read here: 1 .heic" in upscale(tmp_path, "-o", tmp_path / "out")


def test_no_other_program_is_started_for_a_picture(upscale, tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    (tmp_path / "gs").write_text(f"#!/bin/sh\n: > '{seen}'\nexit 1\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    Image.new("RGB", (8, 8)).save(tmp_path / "page.eps")
    (tmp_path / "page.eps").rename(tmp_path / "page.png")
    said = upscale(tmp_path / "page.png", "-o", tmp_path / "large.png", code=1)
    assert "page.png: EPS or SVG, which is not read here; convert it to PNG" in said
    assert not seen.exists()
    assert not (tmp_path / "large.png").exists()


def test_weights_whose_format_must_be_told(weights, tmp_path, capsys):
    Image.fromarray(scene()).save(tmp_path / "a.png")
    convert(weights(2), tmp_path / "edsr.pt", to="edsr-pytorch")
    command = ["upscale", str(tmp_path / "a.png"), "--model", str(tmp_path / "edsr.pt")]
    command += ["--backend", "torch"]
    assert main(command) == 2
    assert "(--weights-format) one of: 'edsr-pytorch'" in capsys.readouterr().err
    assert main([*command, "--weights-format", "edsr-pytorch"]) == 0
    model = superres.load_model(tmp_path / "edsr.pt", format="edsr-pytorch")
    expected = model.upscale(scene(), backend="torch")
    assert (read_image(tmp_path / "a_x2.png") == expected).all()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_leaves_whole_files_only(number, code, weights, tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(60):
        Image.fromarray(scene(160, 160, index)).save(tmp_path / "in" / f"{index:02d}.png")
    out = tmp_path / "out"
    command = [*TOOL, str(tmp_path / "in"), "-o", str(out), "--model", weights(4)]
    command += ["--backend", "torch", "--tile", "24"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 300
    while not (out.exists() and list(out.glob("*.png"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == code, said
    assert "goes on from here" in said
    files = list(out.iterdir())
    assert 0 < len(files) < 60
    assert all(opened(file).size == (640, 640) for file in files)


def test_a_reader_that_leaves_is_no_success(weights, tmp_path):
    for index in range(8):
        Image.fromarray(scene(16, 16, index)).save(tmp_path / f"{index}.png")
    command = [*TOOL, str(tmp_path), "-o", str(tmp_path / "out"), "--model", weights(2)]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*command, "--backend", "torch"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert done.returncode == 1
    assert "goes on from here" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_sees_a_bar(weights, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for name in ("a.png", "[b].png"):
        Image.fromarray(scene()).save(tmp_path / name)
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "150")
    command = ["upscale", str(tmp_path / "*.png"), "--model", weights(2), "--backend", "torch"]
    assert main([*command, "--tile", "8"]) == 0
    for shown in ("2/2", "tile", "[b].png"):
        assert shown in sys.stdout.getvalue()
