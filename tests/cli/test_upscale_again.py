"""Results that are there already: only what the same command made counts as done."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from superres.checkpoints import save_safetensors
from superres.cli.main import main
from superres.models.backbones.rcan import RCAN

from ..upscaling.conftest import _cache, _one_thread, bicubic_like, exif, icc, scene, weights

__all__ = ["_cache", "_one_thread", "weights"]


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


def kept(path, run):
    """What ``run()`` says, which must leave the file as it is."""
    before = path.read_bytes(), path.stat().st_mtime_ns
    said = run()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    return said


def refused(upscale, result, *arguments, **options):
    said = kept(result, lambda: upscale(*arguments, code=1, **options))
    assert "--overwrite replaces it" in said
    return said


def repeated(upscale, result, *arguments, **options):
    said = kept(result, lambda: upscale(*arguments, **options))
    assert "1 there already" in said
    return said


def test_another_scale(upscale, source, tmp_path):
    out = tmp_path / "out"
    upscale(source, "--scale", "2", "-o", out)
    result = out / "a.png"
    said = refused(upscale, result, source, "--scale", "3", "-o", out)
    assert f"{result}: is there already, made at x2, not x3" in said
    assert "1 failed" in said
    for same in ("2", "x2", "2.0"):
        repeated(upscale, result, source, "--scale", same, "-o", out)
    upscale(source, "--scale", "3", "-o", out, "--overwrite")
    assert Image.open(result).size == (168, 120)
    assert "1 there already" in upscale(source, "--scale", "3", "-o", out)


def test_another_model(upscale, source, weights, other, tmp_path):
    upscale(source)
    result = tmp_path / "a_x4.png"
    words = "made by other weights called tiny_x4.safetensors x4"
    assert words in refused(upscale, result, source, model=other)
    said = refused(upscale, result, source, "--scale", "4", model=weights(2))
    assert "made by tiny_x4.safetensors x4, not by tiny_x2.safetensors x2" in said
    copy = shutil.copy(weights(4), tmp_path / "renamed.safetensors")
    repeated(upscale, result, source, model=copy)
    upscale(source, "--overwrite", model=other)
    repeated(upscale, result, source, model=other)


def test_options(upscale, source, tmp_path):
    result, usual = tmp_path / "a_x4.png", "the usual options"
    upscale(source)
    for options in (["--tile", "16"], ["--memory", "64M"], ["--quality", "50"]):  # change nothing
        repeated(upscale, result, source, *options)
    before, at_first = [], usual
    for options, words in (
        (["--self-ensemble"], "self-ensemble"),
        (["--tile", "edsr-chop"], "edsr-chop"),
        (["--tile", "edsr-chop", "--self-ensemble"], "edsr-chop, self-ensemble"),
        ([], usual),
    ):
        said = refused(upscale, result, source, *options)
        assert f"made with {at_first}, not with {words}" in said
        repeated(upscale, result, source, *before)
        upscale(source, *options, "--overwrite")
        before, at_first = options, words
    config = {"type": "RCAN", "channels": 16, "num_groups": 1, "num_blocks": 1, "scale": 2}
    network = RCAN(**{k: v for k, v in config.items() if k != "type"})  # sees the whole image
    model = save_safetensors(tmp_path / "rcan.safetensors", network, config)
    upscale(source, model=model)
    said = refused(upscale, tmp_path / "a_x2.png", source, "--tile", "32", model=model)
    assert "not with tiles of 32" in said


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_quality(name, upscale, source, tmp_path):
    result = tmp_path / "out" / name
    upscale(source, "-o", result, "--quality", "60")
    repeated(upscale, result, source, "-o", result, "--quality", "60")
    assert "made with quality 60" in refused(upscale, result, source, "-o", result)
    if name == "a.jpg":  # 95 is what is usual
        upscale(source, "-o", result, "--overwrite")
        repeated(upscale, result, source, "-o", result, "--quality", "95")


def test_a_result_that_was_cropped(upscale, source, tmp_path):
    """Editors keep EXIF, and with it the record."""
    upscale(source)
    with Image.open(tmp_path / "a_x4.png") as made:
        made.crop((0, 0, 100, 100)).save(tmp_path / "a_x4.png", exif=made.getexif())
    said = refused(upscale, tmp_path / "a_x4.png", source)
    assert "is there already, 100x100 pixels, not 224x160" in said


def test_another_input(upscale, source, tmp_path):
    result = tmp_path / "a_x4.png"
    upscale(source)
    os.utime(source)  # a copy: newer, and the same
    repeated(upscale, result, source)
    Image.fromarray(255 - scene()).save(source)
    assert f"made from another image than {source} is now" in refused(upscale, result, source)
    os.utime(source, (1e9, 1e9))  # an older file in its place
    assert "made from another image" in refused(upscale, result, source)
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
    assert said.count("sub/c.png: is there already, made from another image") == 2  # and at the end
    states = [r["status"] for r in json.loads(report.read_text())["results"]]
    assert states == ["skipped", "done", "failed"]
    said = upscale(folder, "-o", out, "--scale", "2", code=1)
    assert "3 failed" in said
    upscale(folder, "-o", out, "--overwrite")
    assert "3 there already" in upscale(folder, "-o", out)


def kinds():
    photo = scene()
    rgba = np.dstack([photo, np.full((40, 56), 128, np.uint8)])
    yield "a.png", Image.fromarray(photo), {}
    yield "alpha.png", Image.fromarray(rgba), {}
    yield "deep.png", Image.fromarray(photo[..., 0].astype(np.uint16) * 257), {}
    yield "exif.jpg", Image.fromarray(photo), {"exif": exif(6)}
    yield "alpha.webp", Image.fromarray(rgba), {}
    yield "turned.tif", Image.fromarray(photo), {"tiffinfo": {274: 6}}


@pytest.mark.parametrize(("name", "image", "options"), [*kinds()], ids=lambda v: str(v)[:10])
def test_every_format_that_can_hold_a_record(name, image, options, upscale, other, tmp_path):
    source, out = tmp_path / name, tmp_path / "out"
    image.save(source, **options)
    before = Image.open(source).getexif()
    upscale(source, "-o", out)
    result = out / name
    said = repeated(upscale, result, source, "-o", out)
    assert "judged by size" not in said
    assert "made by other weights" in refused(upscale, result, source, "-o", out, model=other)
    assert "made at x4, not x3" in refused(upscale, result, source, "-o", out, "--scale", "3")
    after = Image.open(result).getexif()
    assert not after.get_ifd(0x8769) or name.startswith("exif")
    if name.startswith("exif"):
        assert all(after[key] == value for key, value in before.items() if key != 0x8769)


@pytest.mark.parametrize("name", ["a.bmp", "a.ppm"])
def test_formats_without_room_are_judged_by_size_and_date(name, upscale, tmp_path):
    source, result = tmp_path / name, tmp_path / "out" / name
    Image.fromarray(scene()).save(source)
    os.utime(source, (1e9, 1e9))
    upscale(source, "-o", tmp_path / "out")
    said = repeated(upscale, result, source, "-o", tmp_path / "out")
    assert "1 judged by size and date alone" in said
    said = refused(upscale, result, source, "-o", tmp_path / "out", "--scale", "3")
    assert "224x160 pixels, not 168x120" in said
    os.utime(source, (time.time() + 10,) * 2)
    said = refused(upscale, result, source, "-o", tmp_path / "out")
    assert f"is there already, older than {source}" in said


def test_files_that_something_else_made(upscale, source, tmp_path):
    result, lying = tmp_path / "a_x4.png", Image.Exif()
    os.utime(source, (1e9, 1e9))
    for text, size, words in (
        (None, (160, 224), ""),
        (None, (160, 160), "160x160 pixels, not 224x160"),
        ("Some program 1.0", (160, 224), ""),
        *(
            (f"superres {record}", (160, 224), "made in a way that cannot be told")
            for record in ('{"scale": []}', "{}", "{nonsense}", '{"a":' * 9000 + "}")
        ),
    ):
        lying[0x000B] = text or ""
        Image.fromarray(scene(*size)).save(result, **({"exif": lying.tobytes()} if text else {}))
        if words:
            assert words in refused(upscale, result, source)
        else:
            assert "judged by size" in repeated(upscale, result, source)
    for content in (b"", b"text"):
        result.write_bytes(content)
        assert "not an image that can be read" in refused(upscale, result, source)
    # A result whose metadata have no room for a record.
    block = Image.Exif()
    block[0x010F] = "M" * 65_400
    Image.fromarray(scene()).save(tmp_path / "full.jpg", exif=block.tobytes())
    upscale(tmp_path / "full.jpg")
    assert Image.open(tmp_path / "full_x4.jpg").getexif()[0x010F] == "M" * 65_400
    assert "judged by size" in upscale(tmp_path / "full.jpg")


def test_a_link_to_nowhere_is_something_that_is_there(upscale, source, tmp_path):
    link = tmp_path / "large.png"
    link.symlink_to("gone.png")
    said = upscale(source, "-o", link, code=1)
    assert "large.png: is there already, a link that leads nowhere; --overwrite replaces" in said
    assert link.is_symlink()
    upscale(source, "-o", link, "--overwrite")
    assert not link.is_symlink()


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_animations_are_recorded(name, upscale, other, tmp_path):
    source, result = tmp_path / name, tmp_path / "out" / name
    frames = [Image.fromarray(scene(seed=n)) for n in range(2)]
    options = {"icc_profile": icc()} if name != "a.gif" else {"comment": b"Of mine"}
    frames[0].save(source, save_all=True, append_images=frames[1:], **options)
    upscale(source, "-o", result)
    with Image.open(result) as made:
        assert made.n_frames == 2
        wanted = icc() if name != "a.gif" else b"Of mine\nsuperres {"
        assert (made.info.get("icc_profile") or made.info["comment"]).startswith(wanted)
    assert "judged by size" not in repeated(upscale, result, source, "-o", result)
    assert "made by other weights" in refused(upscale, result, source, "-o", result, model=other)


def test_standard_input_may_be_anything(upscale, source, tmp_path, monkeypatch):
    result = tmp_path / "out.png"
    for code in (0, 1):
        stream = SimpleNamespace(buffer=io.BytesIO(source.read_bytes()))
        monkeypatch.setattr(sys, "stdin", stream)
        said = upscale("-", "-o", result, code=code)
    assert "whether standard input is the same is not known; --overwrite" in said


class TestVideos:
    """The record is a line of the file's comment."""

    @pytest.fixture(autouse=True)
    def _av(self):
        pytest.importorskip("av")

    @pytest.fixture(params=[".mp4", ".mkv", ".webm", ".avi"])
    def clip(self, request, tmp_path):
        return self.make(tmp_path / f"clip{request.param}")

    @staticmethod
    def make(path, seed=0, size=(32, 48)):
        import av

        with av.open(str(path), "w") as out:
            out.metadata["comment"] = "Of mine"
            codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
            video = out.add_stream(codec, rate=24)
            video.height, video.width = size
            video.pix_fmt = "yuv420p"
            for index in range(3):
                frame = av.VideoFrame.from_ndarray(scene(*size, seed + index), format="rgb24")
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
        return path

    def test_again(self, clip, upscale, other, tmp_path):
        import av

        result = clip.with_stem("clip_x4")
        upscale(clip)
        assert "judged by size" not in repeated(upscale, result, clip)
        assert "made by other weights" in refused(upscale, result, clip, model=other)
        said = refused(upscale, result, clip, "--scale", "2", "-o", result)
        assert "made at x4, not x2" in said
        assert "not with self-ensemble" in refused(upscale, result, clip, "--self-ensemble")
        with av.open(str(result)) as made:
            (comment,) = (v for k, v in made.metadata.items() if k.lower() == "comment")
        assert comment.startswith("Of mine\nsuperres {")
        os.utime(clip)
        repeated(upscale, result, clip)
        self.make(clip, seed=5)
        assert "made from another image" in refused(upscale, result, clip)
        upscale(clip, "--overwrite")
        twice = result.with_stem("clip_x4_x4")
        upscale(result, "-o", twice)
        with av.open(str(twice)) as made:
            (comment,) = (v for k, v in made.metadata.items() if k.lower() == "comment")
        assert comment.count("superres {") == 1
        repeated(upscale, twice, result, "-o", twice)

    def test_what_another_command_began_is_not_thrown_away(
        self, upscale, other, tmp_path, monkeypatch
    ):
        from superres.upscaling import video

        clip, result = self.make(tmp_path / "clip.mp4"), tmp_path / "clip_x4.mp4"
        monkeypatch.setattr(video, "SEGMENT_FRAMES", 1)
        real, frames = video.Pieces.write, []

        def stopping(*arguments):
            frames.append(1)
            if len(frames) == 3:
                raise KeyboardInterrupt
            return real(*arguments)

        monkeypatch.setattr(video.Pieces, "write", stopping)
        upscale(clip, code=130)
        parts = tmp_path / ".clip_x4.mp4.parts"
        assert parts.is_dir()
        before = sorted(p.name for p in parts.iterdir())
        said = refused(upscale, result, clip, model=other)
        assert "an earlier command began it, made by other weights" in said
        assert sorted(p.name for p in parts.iterdir()) == before
        upscale(clip)
        assert len(frames) == 4  # the two that were done are not done again
        assert not parts.exists()
        repeated(upscale, result, clip)
