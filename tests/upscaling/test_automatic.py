"""The network that is taken where nobody names one."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

import superres
from superres.cli.main import main
from superres.upscaling.networks import AUTO, for_image

PIXELS = np.random.default_rng(0).integers(60, 200, (24, 20, 3), np.uint8)


def encoded(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "options", "model"),
    [
        ("JPEG", {}, "edsr-photo"),
        ("WEBP", {}, "edsr-photo"),
        ("AVIF", {}, "edsr-photo"),
        ("WEBP", {"lossless": True}, "edsr-s"),
        *((kind, {}, "edsr-s") for kind in ("PNG", "TIFF", "BMP", "GIF", "PPM")),
    ],
)
def test_by_content(kind, options, model, tmp_path):
    (tmp_path / "image").write_bytes(encoded(kind, **options))
    assert for_image(tmp_path / "image", 2) == model


def test_a_mixed_folder(tmp_path, capsys):
    """Each file by its content, whatever its name; both networks are told, and recorded."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(encoded("JPEG"))
    (folder / "b.png").write_bytes(encoded("PNG"))
    (folder / "c.png").write_bytes(encoded("JPEG"))  # a JPEG by a PNG's name
    report = tmp_path / "r.json"
    arguments = ["upscale", str(folder), "-o", str(tmp_path / "out"), "--scale", "2"]
    assert main([*arguments, "--json", str(report)]) == 0
    said = capsys.readouterr().out
    assert "auto: edsr-photo for JPEG" in said
    assert "auto: edsr-s for lossless files" in said
    assert sorted(json.loads(report.read_text())["model"].split(", ")) == [
        "edsr-photo x2",
        "edsr-s x2",
    ]
    for name, model in (("a.jpg", "edsr-photo"), ("b.png", "edsr-s"), ("c.png", "edsr-photo")):
        named = tmp_path / f"named_{name}.png"
        made = ["upscale", str(folder / name), "--scale", "2", "--format", "png", "-o"]
        assert main([*made, str(named), "--model", model]) == 0
        auto = tmp_path / f"auto_{name}.png"
        assert main([*made, str(auto)]) == 0
        assert np.array_equal(np.array(Image.open(named)), np.array(Image.open(auto)))
    # The same again is there already, with the same networks.
    assert main(arguments) == 0
    assert "3 there already" in capsys.readouterr().out


def test_what_python_is_given(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG"))
    picture = Image.open(tmp_path / "a.jpg")
    pixels = np.array(picture)
    assert for_image(tmp_path / "a.jpg", 2) == for_image(picture, 2) == "edsr-photo"
    assert for_image(pixels, 2) == "edsr-photo"
    assert for_image(Image.open(io.BytesIO(encoded("PNG"))), 2) == "edsr-s"
    photo = superres.upscale(pixels, "edsr-photo", 2)
    assert photo.shape == (48, 40, 3)
    assert np.array_equal(superres.upscale(pixels, scale=2), photo)
    assert np.array_equal(superres.upscale([pixels], AUTO, 2)[0], photo)
    assert superres.upscale(tmp_path / "a.jpg", scale=2).size == (40, 48)


def test_the_default_scale_is_the_commands():
    assert superres.load_model("edsr-s", device="cpu").scale == 4
    assert superres.upscale(np.zeros((8, 8, 3), np.uint8)).shape == (32, 32, 3)
