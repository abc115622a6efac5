"""What images take of memory: neither the whole result, nor more with each image."""

from __future__ import annotations

import io
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from superres.imaging.io import LoadedImage, load_image, read_image
from superres.inference import Tiling
from superres.upscaling import writing
from superres.upscaling.tiled_upscaler import TiledUpscaler

ROOT = Path(__file__).resolve().parents[2]
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc"
)


class Repeating(torch.nn.Module):
    """Each pixel four times: a network that costs nothing."""

    scale, receptive_radius = 2, 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(x, scale_factor=2.0)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_a_large_result_is_never_held(kind, tmp_path, monkeypatch):
    pytest.importorskip("pyvips")
    monkeypatch.setattr(writing, "_IN_MEMORY", 1 << 20)
    pixels = np.zeros((2000, 3000, 3), np.uint8)
    pixels += np.arange(0, 200, 8, dtype=np.uint8).repeat(80)[None, : pixels.shape[1], None][:, :1]
    pixels[::50, ::70] = 255
    path = tmp_path / f"large.{kind[:3] if kind == 'tiff' else kind}"
    enlarger = TiledUpscaler(Repeating(), tiling=Tiling(128))
    tracemalloc.start()  # numpy's memory is traced, torch's is not: tiles are small
    try:
        picture = LoadedImage(pixels, "png", info={"dpi": (300, 300)}, icc=b"a profile")
        writing.save(path, enlarger, picture, kind)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.75 * 4 * pixels.nbytes, f"{peak / 2**20:.0f} MiB"
    assert np.array_equal(read_image(path), pixels.repeat(2, 0).repeat(2, 1))
    with Image.open(path) as image:
        assert image.info["icc_profile"] == b"a profile"
        assert round(image.info["dpi"][0]) == 300
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


READING = """
import re, sys
from superres.imaging.io import load_image
def told(what):
    return int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
load_image(sys.argv[1])  # what is loaded and kept at the first time
before = told("VmRSS")
load_image(sys.argv[2])
print(told("VmHWM") - before)
"""


def test_exif_of_a_png_is_found_wherever_it_stands():
    exif = Image.Exif()
    exif[274], exif[270] = 6, "a scene"
    Image.new("RGB", (8, 4)).save(file := io.BytesIO(), "PNG", exif=exif)
    data = file.getvalue()
    start, end = data.index(b"eXIf") - 4, data.index(b"IEND") - 4
    stop = start + 12 + int.from_bytes(data[start : start + 4], "big")
    late = data[:start] + data[stop:end] + data[start:stop] + data[end:]
    for picture in map(load_image, (data, late)):
        assert (picture.orientation, picture.exif[270]) == (6, "a scene")
    assert load_image(data[:start] + data[stop:]).exif is None


@needs_proc
def test_reading_holds_the_file_and_its_pixels_once(tmp_path):
    rng = np.random.default_rng(0)
    for name, side in (("small", 16), ("large", 3000)):
        pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png", compress_level=1)
    done = subprocess.run(
        [sys.executable, "-c", READING, tmp_path / "small.png", tmp_path / "large.png"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    once = pixels.nbytes + (tmp_path / "large.png").stat().st_size
    # While it decodes a PNG, OpenCV 5 holds the pixels a second time.
    assert int(done.stdout) < 1.1 * (once + pixels.nbytes)
    assert np.array_equal(read_image(tmp_path / "large.png"), pixels)


MANY_SIZES = """
import re, sys, torch
from superres.inference.backends import best
from superres.upscaling.networks import Options, choose_network
torch.set_num_threads(1)
name = sys.argv[1]
net = best(choose_network(Options("edsr-s_x2", device="cpu", backend=name)).module, "cpu", name)
def own():
    return int(re.search(r"Pss_Anon:\\s+(\\d+)", open("/proc/self/smaps_rollup").read())[1]) * 1024
for side in range(60):
    net(torch.zeros(1, 3, 8, 8 + side))
before = own()
for side in range(120):
    net(torch.zeros(1, 3, 9 + side % 2, 8 + side // 2))
print((own() - before) / 120)
"""


@needs_proc
@pytest.mark.parametrize("name", ["openvino", "ncnn"])
def test_pictures_of_ever_new_sizes_take_no_more_memory(name):
    pytest.importorskip(name)
    done = subprocess.run(
        [sys.executable, "-c", MANY_SIZES, name],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(done.stdout.splitlines()[-1]) < 350_000, "bytes for each size"
