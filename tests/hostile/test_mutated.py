"""Whole inputs with a few changes, always the same ones: each ends in success or one message.

A test that fails names its input by the number of the mutation, from which it can be made again.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from superres.checkpoints import build_network, read_weights
from superres.cli.main import main
from superres.engine.train.checkpoint import read_checkpoint
from superres.errors import UserError
from superres.imaging.io import encode_image, load_image, read_image
from superres.registry import MODELS

from .records import record

SMALL = {"type": "EDSR", "scale": 2, "channels": 4, "num_blocks": 1}
PIXELS = np.random.default_rng(1).integers(0, 256, (9, 7, 4), np.uint8)


# -- targets: each takes bytes and a folder, and says nothing where all is well -------------------


def images(data: bytes, folder: Path) -> None:
    """Both readers; one's refusal does not keep the other from trying."""
    refused = None
    for read in (lambda: read_image(data, "unchanged", "keep", max_pixels=1 << 20),
                 lambda: load_image(data, 1 << 20)):  # fmt: skip
        try:
            read()
        except UserError as error:
            refused = error
    if refused:
        raise refused


def checkpoints(data: bytes, folder: Path) -> None:
    """As something to resume from, and as weights."""
    path = folder / ("a.safetensors" if data[8:9] == b"{" else "a.pth")
    path.write_bytes(data)
    with contextlib.suppress(UserError):
        read_checkpoint(path)
    loaded = read_weights(path)
    if not loaded.partial:
        build_network(loaded)


def metadata(data: bytes, folder: Path) -> None:
    """The network's config in the metadata of a safetensors file, as text."""
    state = MODELS.build(dict(SMALL)).state_dict()
    path = folder / "a.safetensors"
    text = data.decode("utf-8", "replace")
    path.write_bytes(safetensors.torch.save(state, {"superres_config": text}))
    build_network(read_weights(path))


def results(data: bytes, folder: Path) -> None:
    """``superres table`` in several formats."""
    (folder / "results.json").write_bytes(data)
    refused = ""
    for words in (["table", f"a={folder}", f"b={folder}"],
                  *(["table", folder, "--format", form] for form in ("md", "csv"))):  # fmt: skip
        with contextlib.redirect_stderr(io.StringIO()) as told:
            if main([str(word) for word in words]):
                refused = told.getvalue().partition("error: ")[2]
    if refused:
        raise UserError(refused)


# -- whole inputs ---------------------------------------------------------------------------------


def image_seeds() -> list[bytes]:
    """Formats, with alpha, depth and metadata where they have them."""
    found = [encode_image(PIXELS[..., :3], s) for s in (".png", ".jpg", ".bmp", ".webp", ".ppm")]
    found += [encode_image(PIXELS, s) for s in (".png", ".tif")]
    found.append(encode_image(PIXELS[..., :3].astype(np.uint16) * 257, ".tif"))
    exif = Image.Exif()
    exif[274] = 6
    for mode, kind, given_options in (
        ("RGB", "JPEG", {"progressive": True, "exif": exif, "icc_profile": bytes(40)}),
        ("CMYK", "JPEG", {}),
        ("LA", "PNG", {"exif": exif, "icc_profile": bytes(40)}),
        ("P", "GIF", {"transparency": 0}),
        ("RGB", "TIFF", {"compression": "tiff_lzw", "tiffinfo": {274: 3}}),
        ("1", "TIFF", {"compression": "group4"}),
        ("RGB", "TGA", {"compression": "tga_rle"}),
        ("RGB", "ICO", {"sizes": [(7, 9)]}),
    ):
        image = Image.fromarray(PIXELS[..., :3]).convert(mode)
        image.save(file := io.BytesIO(), kind, **given_options)
        found.append(file.getvalue())
    return found


def checkpoint_seeds() -> list[bytes]:
    """Weights of ours and others', and a training checkpoint, in every container."""
    state = MODELS.build(dict(SMALL)).state_dict()
    meta = {"iter": 3, "model": {"backbone": SMALL}, "psnr": np.float64(30), "list": [1, (2,)]}
    training = {"state_dict": {f"backbone.{k}": v for k, v in state.items()}, "meta": meta}
    training["optimizer"] = {"state": {}, "param_groups": []}
    found = [safetensors.torch.save(state, {"superres_config": json.dumps(SMALL)})]
    for tree in (training, {"params": state}):
        for zipped in (True, False):
            torch.save(tree, file := io.BytesIO(), _use_new_zipfile_serialization=zipped)
            found.append(file.getvalue())
    return found


def metadata_seeds() -> list[bytes]:
    """Networks of several kinds, with every kind of value."""
    mean = {**SMALL, "rgb_mean": [0.4, 0.4, 0.4], "img_range": 255, "res_scale": 0.1}
    several = {"type": "MDSR", "scales": [2, 3], "channels": 4, "num_blocks": 1}
    return [json.dumps(c).encode() for c in (SMALL, mean, several, {"type": "RCAN", "scale": 2})]


JSON_WORDS = (b"null", b"true", b"1e999", b"NaN", b"-1", b"1" + b"0" * 400, b"[]", b"{}")
JSON_WORDS += (b'"\\ud800"', b"[" * 2000, b'"type": "os.system"', b'"../.."', b"[[1]]")
# Target, its whole inputs, words to put into them, how many mutations are tried.
Target = tuple[Callable[[bytes, Path], None], Callable[[], list[bytes]], tuple[bytes, ...], int]
TARGETS: dict[str, Target] = {
    "images": (images, image_seeds, (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff"), 600),
    "checkpoints": (checkpoints, checkpoint_seeds, (b"cos\nsystem\n", b"R", b"h"), 120),
    "metadata": (metadata, metadata_seeds, JSON_WORDS, 60),
    "results": (results, lambda: [json.dumps(record()).encode()], JSON_WORDS, 40),
}


def mutated(rng: random.Random, corpus: list[bytes], words: tuple[bytes, ...]) -> bytes:
    """One of the inputs with bytes changed, cut out, repeated, or replaced by a word."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        # Headers decide most; they get half of the changes.
        at = rng.randrange(min(len(data), rng.choice((64, 512, 1 << 30))) + 1)
        length = rng.choice((1, 2, 4, 8, 30, 200))
        other = rng.choice(corpus)
        start = rng.randrange(len(other) + 1)
        data[at : at + rng.choice((0, length))] = rng.choice((
            b"", bytes([rng.randrange(256)]), bytes(data[at : at + length]) * 2, rng.choice(words),
            other[start : start + length],
        ))  # fmt: skip
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.05 else data)


def refusal(target: str, data: bytes, folder: Path) -> str:
    """The kind of the message that an input ends in, without its particulars; empty: success."""
    try:
        TARGETS[target][0](data, folder)
    except UserError as error:
        text = re.sub(r"'[^']*'|\"[^\"]*\"|/\S+", "_", str(error))
        return re.sub(r"[^a-zA-Z_ ]+", "#", text)[:60]
    return ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs_end_in_success_or_one_message(name, tmp_path, one_thread):
    _, seeds, words, count = TARGETS[name]
    corpus = seeds()
    assert "" in [refusal(name, data, tmp_path) for data in corpus]
    kinds = set()
    for number in range(count):
        data = mutated(random.Random(number), corpus, words)
        try:
            kinds.add(refusal(name, data, tmp_path))
        except Exception as error:
            raise AssertionError(f"mutation {number}: {data[:200]!r}") from error
    assert len(kinds) > 2, "the mutations reach the checks"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(
    derandomize=True, max_examples=25, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.data())
def test_any_value_in_results(tmp_path, data):
    whole = node = record()
    while True:
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(JSON)
    refusal("results", json.dumps(whole).encode(), tmp_path)


def with_score(key: str, value: object) -> bytes:
    changed = record()
    changed["results"][0][key] = value
    return json.dumps(changed).encode()


SEVERAL_DISKS = b"PK\x03\x04" + bytes(60) + b"PK\x06\x07" + struct.pack("<IQI", 0, 0, 2)
FOUND = {
    "deep json": ("results", b"[" * 100_000),
    "deep metadata": ("metadata", b"[" * 100_000),
    "a zip on several disks": ("checkpoints", SEVERAL_DISKS + b"PK\x05\x06" + bytes(18)),
    "a TIFF's directory beyond all": ("images", b"II+\0\x08\0\0\0" + b"\xff" * 8),
    "a score beyond floats": ("results", with_score("psnr", 10**400)),
    "a score that is a text": ("results", with_score("psnr_std", "a")),
    "a difference that is a number": (
        "results", with_score("published", {"method": "a", "psnr": 1, "difference": 5}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found(name, tmp_path):
    assert refusal(*FOUND[name], tmp_path)
