"""Results that are there already: only what the same command made counts as done."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from superres.checkpoints import save_safetensors
from superres.cli.main import main
from superres.models.backbones.rcan import RCAN

from ..upscaling.conftest import _one_thread, bicubic_like, exif, icc, scene, weights

__all__ = ["_one_thread", "weights"]


@pytest.fixture
def upscale(weights, capsys):
    """``upscale(*arguments, code=0)``: what was said, all together; an x4 network by default."""

    def run(*arguments, code=0, model=None):
        capsys.readouterr()
        options = ["--model", str(model or weights(4)), "--backend", "torch"]
        assert main(["upscale", *map(str, arguments), *options]) == code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return said.out + said.err

    return run


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(scene()).save(path)
    return path


@pytest.fixture
def other(tmp_path):
    """Another network for x4, in a file of the same name as `weights(4)`."""
    network = bicubic_like(4)
    network.conv_last.bias.data += 0.1
    config = {"type": "EDSR", "channels": 12, "num_blocks": 1, "scale": 4}
    (tmp_path / "other").mkdir()
    return save_safetensors(tmp_path / "other" / "tiny_x4.safetensors", network, config)


def kept(upscale, result, *arguments, code, **options):
    """What is said, which must leave the result as it is."""
    before = result.read_bytes(), result.stat().st_mtime_ns
    said = upscale(*arguments, code=code, **options)
    assert (result.read_bytes(), result.stat().st_mtime_ns) == before
    return said


def refused(upscale, result, *arguments, **options):
    said = kept(upscale, result, *arguments, code=1, **options)
    assert "--overwrite replaces it" in said
    return said


def repeated(upscale, result, *arguments, **options):
    said = kept(upscale, result, *arguments, code=0, **options)
    assert "1 there already" in said
    return said


def test_another_scale(upscale, source, tmp_path):
    out = tmp_path / "out"
    upscale(source, "--scale", "2", "-o", out)
    result = out / "a.png"
    said = refused(upscale, result, source, "--scale", "3", "-o", out)
    assert f"{result}: is there already, made otherwise: scale 2, not 3" in said
    assert "1 failed" in said
    for same in ("2", "x2", "2.0"):
        repeated(upscale, result, source, "--scale", same, "-o", out)
    upscale(source, "--scale", "3", "-o", out, "--overwrite")
    assert Image.open(result).size == (168, 120)


def test_another_model(upscale, source, weights, other, tmp_path):
    upscale(source)
    result = tmp_path / "a_x4.png"
    said = refused(upscale, result, source, "--scale", "4", model=weights(2))
    assert "model tiny_x4.safetensors x4, not tiny_x2.safetensors x2; weights " in said
    copy = shutil.copy(weights(4), tmp_path / "renamed.safetensors")
    repeated(upscale, result, source, model=copy)
    assert "made otherwise: weights " in refused(upscale, result, source, model=other)
    upscale(source, "--overwrite", model=other)
    repeated(upscale, result, source, model=other)


def test_options(upscale, source, tmp_path):
    result, chop = tmp_path / "a_x4.png", ["--tile", "edsr-chop"]
    upscale(source)
    for options in (["--tile", "16"], ["--memory", "64M"], ["--quality", "50"]):  # change nothing
        repeated(upscale, result, source, *options)
    both = [*chop, "--self-ensemble"]
    assert "options none, not edsr-chop" in refused(upscale, result, source, *chop)
    upscale(source, *both, "--overwrite")
    repeated(upscale, result, source, *both)
    assert "options edsr-chop, self-ensemble, not none" in refused(upscale, result, source)
    config = {"type": "RCAN", "channels": 16, "num_groups": 1, "num_blocks": 1, "scale": 2}
    network = RCAN(**{k: v for k, v in config.items() if k != "type"})  # sees the whole image
    model = save_safetensors(tmp_path / "rcan.safetensors", network, config)
    upscale(source, model=model)
    said = refused(upscale, tmp_path / "a_x2.png", source, "--tile", "32", model=model)
    assert "not tiles of 32" in said


def test_another_input(upscale, source, tmp_path):
    result = tmp_path / "a_x4.png"
    upscale(source)
    os.utime(source)  # a copy: newer, and the same
    repeated(upscale, result, source)
    Image.fromarray(255 - scene()).save(source)
    os.utime(source, (1e9, 1e9))  # an older file in its place
    assert "made otherwise: source " in refused(upscale, result, source)
    upscale(source, "--overwrite")
    repeated(upscale, result, source)


def test_a_folder_goes_on_and_tells_what_differs(upscale, tmp_path):
    folder, out, report = tmp_path / "in", tmp_path / "out", tmp_path / "r.json"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "sub/c.png")):
        Image.fromarray(scene(seed=number)).save(folder / name)
    upscale(folder, "-o", out)
    (out / "b.png").unlink()
    Image.fromarray(scene(seed=9)).save(folder / "sub/c.png")
    said = upscale(folder, "-o", out, "--json", report, code=1)
    assert "1 done; 1 there already" in said
    assert said.count("sub/c.png: is there already, made otherwise: source") == 2  # and at the end
    states = [r["status"] for r in json.loads(report.read_text())["results"]]
    assert states == ["skipped", "done", "failed"]
    upscale(folder, "-o", out, "--overwrite")
    assert "3 there already" in upscale(folder, "-o", out)


def kinds():
    photo = scene()
    rgba = np.dstack([photo, np.full((40, 56), 128, np.uint8)])
    moving = {"save_all": True, "append_images": [Image.fromarray(scene(seed=1))]}
    yield "alpha.png", rgba, {}
    yield "deep.png", photo[..., 0].astype(np.uint16) * 257, {}
    yield "exif.jpg", photo, {"exif": exif(6)}
    yield "alpha.webp", rgba, {}
    yield "turned.tif", photo, {"tiffinfo": {274: 6}}
    yield "a.gif", photo, {**moving, "comment": b"Of mine"}
    yield "a.png", photo, {**moving, "icc_profile": icc()}
    yield "a.webp", photo, {**moving, "icc_profile": icc()}


@pytest.mark.parametrize(("name", "pixels", "options"), [*kinds()], ids=[k[0] for k in kinds()])
def test_every_format_that_can_hold_a_record(name, pixels, options, upscale, other, tmp_path):
    source, out = tmp_path / name, tmp_path / "out"
    Image.fromarray(pixels).save(source, **options)
    before = Image.open(source).getexif()
    upscale(source, "-o", out, "--quality", "60")
    result = out / name
    said = repeated(upscale, result, source, "-o", out, "--quality", "60")
    assert "without a record" not in said
    assert "weights" in refused(upscale, result, source, "-o", out, "--quality", "60", model=other)
    if name in ("exif.jpg", "alpha.webp"):  # others have no quality
        assert "options quality 60, not none" in refused(upscale, result, source, "-o", out)
    with Image.open(result) as made:
        after = made.getexif()
        assert not after.get_ifd(0x8769) or name.startswith("exif")
        if "append_images" in options:
            assert made.n_frames == 2
            wanted = icc() if name != "a.gif" else b"Of mine\nsuperres {"
            assert (made.info.get("icc_profile") or made.info["comment"]).startswith(wanted)
    if name.startswith("exif"):
        assert all(after[key] == value for key, value in before.items() if key != 0x8769)


@pytest.mark.parametrize("name", ["a.bmp", "a.ppm", "full.jpg"])
def test_formats_without_room_are_there_and_that_is_told(name, upscale, tmp_path):
    source, out, block = tmp_path / name, tmp_path / "out", Image.Exif()
    block[0x010F] = "M" * 65_400
    full = {"exif": block.tobytes()} if name == "full.jpg" else {}
    Image.fromarray(scene()).save(source, **full)
    upscale(source, "-o", out)
    said = repeated(upscale, out / name, source, "-o", out)
    assert "1 without a record of how it was made" in said
    assert "224x160 pixels, not" in refused(upscale, out / name, source, "-o", out, "-s", "3")
    if full:
        assert Image.open(out / name).getexif()[0x010F] == "M" * 65_400


def test_files_that_something_else_made(upscale, source, tmp_path):
    result, lying = tmp_path / "a_x4.png", Image.Exif()
    records = ('{"scale": []}', "{}", "{nonsense}", '{"a":' * 9000 + "}")
    for text in ("Some program 1.0", *(f"superres {record}" for record in records)):
        lying[0x000B] = text
        Image.fromarray(scene(160, 224)).save(result, exif=lying.tobytes())
        if text.startswith("superres"):
            assert "made in a way that cannot be told" in refused(upscale, result, source)
        else:
            assert "without a record" in repeated(upscale, result, source)


def test_a_link_to_nowhere_is_something_that_is_there(upscale, source, tmp_path):
    link = tmp_path / "large.png"
    link.symlink_to("gone.png")
    said = upscale(source, "-o", link, code=1)
    assert "large.png: is there already, a link that leads nowhere; --overwrite replaces" in said
    assert link.is_symlink()
    upscale(source, "-o", link, "--overwrite")
    assert not link.is_symlink()


def test_standard_input_may_be_anything(upscale, source, tmp_path, monkeypatch):
    result = tmp_path / "out.png"
    for code in (0, 1):
        stream = SimpleNamespace(buffer=io.BytesIO(source.read_bytes()))
        monkeypatch.setattr(sys, "stdin", stream)
        said = upscale("-", "-o", result, code=code)
    assert "whether standard input is the same is not known; --overwrite" in said


def clip(path, seed=0):
    """A film of three frames with a comment."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as out:
        out.metadata["comment"] = "Of mine"
        video = out.add_stream("libvpx-vp9" if path.suffix == ".webm" else "libx264", rate=24)
        video.height, video.width, video.pix_fmt = 32, 48, "yuv420p"
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(scene(32, 48, seed + index), format="rgb24")
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def comment(path):
    import av

    with av.open(str(path)) as made:
        (found,) = (v for k, v in made.metadata.items() if k.lower() == "comment")
    return found


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi"])
def test_the_record_of_a_film_is_a_line_of_its_comment(suffix, upscale, other, tmp_path):
    source, result = clip(tmp_path / f"clip{suffix}"), tmp_path / f"clip_x4{suffix}"
    upscale(source)
    assert "without a record" not in repeated(upscale, result, source)
    assert "made otherwise: weights" in refused(upscale, result, source, model=other)
    assert "scale 4, not 2" in refused(upscale, result, source, "--scale", "2", "-o", result)
    assert comment(result).startswith("Of mine\nsuperres {")
    clip(source, seed=5)
    assert "made otherwise: source" in refused(upscale, result, source)
    twice = result.with_stem("twice")
    upscale(result, "-o", twice)
    assert comment(twice).count("superres {") == 1
    repeated(upscale, twice, result, "-o", twice)


def test_what_another_command_began_is_not_thrown_away(upscale, other, tmp_path, monkeypatch):
    from superres.upscaling import video

    source, result = clip(tmp_path / "clip.mp4"), tmp_path / "clip_x4.mp4"
    monkeypatch.setattr(video, "SEGMENT_FRAMES", 1)
    real, frames = video.Pieces.write, []

    def stopping(*arguments):
        frames.append(1)
        if len(frames) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(video.Pieces, "write", stopping)
    upscale(source, code=130)
    parts = video.parts_folder(result)
    before = sorted(p.name for p in parts.iterdir())
    said = upscale(source, model=other, code=1)
    assert "an earlier command began it, made otherwise: weights" in said
    assert sorted(p.name for p in parts.iterdir()) == before
    upscale(source)
    assert len(frames) == 4  # the two that were done are not done again
    assert not parts.exists()
    repeated(upscale, result, source)
