"""Animations keep their frames, durations, loops and transparency, and their kind."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from maintain.films import Repeating
from superres.imaging.io import load_image
from superres.upscaling.tiled_upscaler import TiledUpscaler
from superres.upscaling.video_reading import find_animation, probe
from superres.upscaling.writing import save


def shown(source) -> tuple[list[np.ndarray], list[float], int | None]:
    with Image.open(source) as image:
        frames, durations = [], []
        for frame in ImageSequence.Iterator(image):
            frames.append(np.asarray(frame.convert("RGBA")).astype(int))
            durations.append(frame.info["duration"])
        return frames, durations, image.info.get("loop")


@pytest.mark.parametrize("loop", [0, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.apng"])
def test_every_frame_arrives(name, alpha, loop, tmp_path):
    frames = []
    for step in range(4):
        pixels = np.zeros((20, 30, 4 if alpha else 3), np.uint8)
        pixels[5:15, 5 + 4 * step : 12 + 4 * step, :3] = (200, 40 * step, 90)
        pixels[5:15, 5 + 4 * step : 12 + 4 * step, 3:] = 255
        frames.append(Image.fromarray(pixels))
    kind = {"a.apng": "PNG"}.get(name)
    options = {"a.gif": {"disposal": 2}, "a.webp": {"lossless": True}}.get(name, {})
    durations = [50, 100, 150, 200]
    frames[0].save(
        tmp_path / name, kind, save_all=True, append_images=frames[1:], loop=loop,
        duration=durations, icc_profile=np.random.default_rng(0).bytes(9000), **options,
    )  # fmt: skip
    picture, moving = load_image(tmp_path / name), find_animation(tmp_path / name)
    format = {"a.apng": "png"}.get(name, name[2:])
    save(out := io.BytesIO(), TiledUpscaler(Repeating()), picture, format, moving=moving)
    before, after = shown(tmp_path / name), shown(out)
    assert after[1:] == (durations, loop) == before[1:]
    for small, large in zip(before[0], after[0], strict=True):
        wanted = small.repeat(2, 0).repeat(2, 1)
        assert (large[..., 3] == wanted[..., 3]).all()
        assert np.abs((large - wanted) * (wanted[..., 3:] > 0)).max() <= 1
    frames[0].save(tmp_path / "still.png")
    assert find_animation(tmp_path / "still.png") is None


def test_durations_of_a_gif_add_up(tmp_path):
    frames = [Image.fromarray(np.full((8, 9, 3), 60 * step, np.uint8)) for step in range(4)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=33)
    picture, moving = load_image(tmp_path / "a.png"), find_animation(tmp_path / "a.png")
    save(out := io.BytesIO(), TiledUpscaler(Repeating()), picture, "gif", moving=moving)
    assert shown(out)[1] == [30, 40, 30, 30]


def test_a_default_image_is_told_of(tmp_path):
    frames = [Image.fromarray(np.full((8, 9, 3), 60 * step, np.uint8)) for step in range(3)]
    for name, default in (("a.png", False), ("b.png", True)):
        frames[0].save(
            tmp_path / name, save_all=True, append_images=frames[1:], default_image=default
        )
        for notes in (load_image(tmp_path / name).notes, probe(tmp_path / name).notes):
            assert any("its default image is not a frame" in note for note in notes) == default
