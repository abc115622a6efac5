"""What is fuzzed: an entry point, whole inputs to start from, and what may come of an input."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import safetensors.torch
import torch

from superres.checkpoints import build_network, read_weights, save_safetensors
from superres.cli.main import main
from superres.engine.config.check import check_config
from superres.engine.config.load import load_config
from superres.engine.train.checkpoint import read_checkpoint
from superres.errors import UserError
from superres.imaging.io import encode_image, read_image, read_picture
from superres.registry import MODELS

CONFIG = "edsr_x2c64b16_g1_300k_div2k"
SMALL = {"type": "EDSR", "scale": 2, "channels": 4, "num_blocks": 1}
SIDE = 1 << 20


@dataclass(frozen=True)
class Target:
    """An entry point.

    Attributes:
        run: takes an input and a folder to write it to; says nothing where all is well.
        seeds: inputs of which all parts are reached.
        words: what is put into inputs besides random bytes.
    """

    run: Callable[[bytes, Path], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()


def picture(height: int = 9, width: int = 7, channels: int = 3) -> np.ndarray:
    """A picture of noise, always the same."""
    return np.random.default_rng(1).integers(0, 256, (height, width, channels)).astype(np.uint8)


def run_images(data: bytes, folder: Path) -> None:
    """Both readers, on the bytes; one's refusal does not keep the other from trying."""
    refused = None
    for read in (
        lambda: read_image(data, "unchanged", "keep", max_pixels=SIDE),
        lambda: read_picture(data, SIDE),
    ):
        try:
            read()
        except UserError as error:
            refused = error
    if refused:
        raise refused


def image_seeds() -> list[bytes]:
    """Every format, with alpha, depth and metadata where it has them."""
    from PIL import Image

    found = [encode_image(picture(), s) for s in (".png", ".jpg", ".bmp", ".tif", ".webp", ".ppm")]
    found += [encode_image(picture(channels=4), s) for s in (".png", ".tif", ".webp")]
    found.append(encode_image(picture().astype(np.uint16) * 257, ".tif"))
    exif = Image.Exif()
    exif[274] = 6
    kinds = (
        ("RGB", "JPEG", {"progressive": True, "exif": exif, "icc_profile": bytes(40)}),
        ("CMYK", "JPEG", {}),
        ("LA", "PNG", {"exif": exif, "icc_profile": bytes(40)}),
        ("L", "PNG", {"transparency": 3}),
        ("P", "GIF", {"transparency": 0}),
        ("RGB", "TIFF", {"compression": "tiff_lzw", "tiffinfo": {274: 3}}),
        ("F", "TIFF", {}),
        ("1", "TIFF", {"compression": "group4"}),
        ("RGB", "TGA", {"compression": "tga_rle"}),
        ("RGB", "PCX", {}),
        ("RGB", "ICO", {"sizes": [(7, 9)]}),
    )
    for mode, kind, options in kinds:
        file = io.BytesIO()
        Image.fromarray(picture()).convert(mode).save(file, kind, **options)
        found.append(file.getvalue())
    return found


def run_checkpoints(data: bytes, folder: Path) -> None:
    """As weights, and as something to resume from."""
    path = folder / ("a.safetensors" if data[8:9] == b"{" else "a.pth")
    path.write_bytes(data)
    with contextlib.suppress(UserError):
        read_checkpoint(path)
    loaded = read_weights(path)
    if not loaded.partial:
        build_network(loaded)


def checkpoint_seeds() -> list[bytes]:
    """Weights of ours and others', and a training checkpoint, in every container."""
    network = MODELS.build(dict(SMALL))
    state = network.state_dict()
    meta = {"iter": 3, "model": {"backbone": SMALL}, "psnr": np.float64(30), "list": [1, (2,)]}
    training = {
        "state_dict": {f"backbone.{k}": v for k, v in state.items()},
        "meta": meta,
        "optimizer": {"state": {}, "param_groups": []},
    }
    found = []
    for tree in (training, {"params": state}, {"state_dict": state, "scores": np.zeros(3)}):
        for zipped in (True, False):
            file = io.BytesIO()
            torch.save(tree, file, _use_new_zipfile_serialization=zipped)
            found.append(file.getvalue())
    with tempfile.TemporaryDirectory() as name:
        found.append(save_safetensors(Path(name) / "a.safetensors", network, SMALL).read_bytes())
    return found


def run_metadata(data: bytes, folder: Path) -> None:
    """The network's config in the metadata of a safetensors file, as text."""
    state = MODELS.build(dict(SMALL)).state_dict()
    path = folder / "a.safetensors"
    text = data.decode("utf-8", "replace")
    path.write_bytes(safetensors.torch.save(state, {"superres_config": text}))
    build_network(read_weights(path))


def metadata_seeds() -> list[bytes]:
    """Networks of several kinds, with every kind of value."""
    mean = {**SMALL, "rgb_mean": [0.4, 0.4, 0.4], "img_range": 255, "res_scale": 0.1}
    several = {"type": "MDSR", "scales": [2, 3], "channels": 4, "num_blocks": 1}
    return [json.dumps(c).encode() for c in (SMALL, mean, several, {"type": "RCAN", "scale": 2})]


def run_options(data: bytes, folder: Path) -> None:
    """``--cfg-options``, one a line, then all that is checked before a training."""
    options = data.decode("utf-8", "surrogateescape").split("\n")
    check_config(load_config(CONFIG, options))


def option_seeds() -> list[bytes]:
    """Keys at every depth, values of every notation."""
    return [
        b"scale=2\nmax_iters=10\ntest_sets=[Set5,Set14]\nseed=None",
        b"model.backbone=dict(type='EDSR',channels=8,num_blocks=1)\nmodel.backbone.scale=2",
        b"param_scheduler.0.milestones=[5,9]\nema=0.9\ntrain_set='${val_sets}'",
        b"optim_wrapper.clip_grad=dict(max_norm=1.0)\ncustom_hooks=[dict(type='EMAHook')]",
        b"train_dataloader.dataset.make_lq={'type': 'Degrade', 'steps': [1, (2, 3)]}\nfast=max",
        b"default_hooks.checkpoint.interval=5\nrandomness=dict(seed=7)\nresume=True\nema=None\n"
        b"env_cfg=dict(mp_cfg=dict(mp_start_method='fork'),dist_cfg=dict(timeout=9))",
        b"train_dataloader.batch_size=4\ncustom_hooks=[dict(type='EMAHook',priority='LOW')]\n"
        b"train_dataloader.sampler=dict(type='InfiniteSampler')\nlog_level=INFO",
        b"train_pipeline=[dict(type='PackInputs')]\nprotocols=dict(Set5='edsr-y')\nscale=[2,3]",
    ]


def run_results(data: bytes, folder: Path) -> None:
    """``superres table`` in every format, and ``superres report``, on a results.json."""
    (folder / "results.json").write_bytes(data)
    (folder / "images").mkdir(exist_ok=True)
    calls = [["table", str(folder), "--format", f] for f in ("terminal", "md", "csv", "json")]
    calls += [["table", f"a={folder}", f"b={folder}"], ["report", str(folder)]]
    refused = ""
    for call in calls:
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        told = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
            code = main(call)
        if code:
            refused = told.getvalue().partition("error: ")[2]
    if refused:
        raise UserError(refused)


def result_seeds() -> list[bytes]:
    """A record with all that a test or a merge notes."""
    images = [{"name": n, "psnr": 30.0, "ssim": 0.9, "seconds": 0.1} for n in ("a", "b")]
    published = {"method": "EDSR", "psnr": 30.1, "ssim": 0.91, "source": "paper", "note": "n"}
    published["difference"] = {"psnr": -0.1, "ssim": -0.01}
    entry = {"method": "EDSR", "set": "Set5", "scale": 2, "protocol": "edsr-y", "psnr": 30.0}
    entry |= {"ssim": 0.9, "images": images, "notes": ["n"], "published": published, "lpips": 0.1}
    line = {"set": "Set5", "scale": 2, "gt": "/nowhere", "lq": None, "images": 2}
    record = {
        "schema": 1,
        "checkpoint": {"path": "a.pth", "sha256": "00"},
        "results": [entry],
        "baselines": [{**entry, "method": "Bicubic"}],
        "protocols": {"edsr-y": {"name": "edsr-y", "line": "Y", "border": "scale"}},
        "metrics": {"lpips": {"title": "LPIPS", "line": "less is better"}},
        "config": "a.py",
        "iter": 3,
        "parameters": 5,
        "costs": [{"scale": 2, "parameters": 5, "flops": 10**9}],
        "runtime": [
            {"set": "Set5", "scale": 2, "memory_mb": 1, "seconds": {"total": 1, "median": 0.5}}
        ],
        "sets": [{**line, "lq_fingerprint": {"sha256": "00"}}],
        "eval_dataset": {"make_lq": "auto", "border": "reflect"},
        "inference": {"tile": 8},
    }
    score = {**record, "sr_dir": "/nowhere", "hr_dir": "/nowhere", "baselines": []}
    return [json.dumps(record).encode(), json.dumps(score).encode()]


_JSON = (b"null", b"true", b"1e999", b"NaN", b"-1", b"1" + b"0" * 400, b"[]", b"{}", b'"\\ud800"')
_JSON += (b"[" * 2000, b'"type": "os.system"', b'"../.."', b'"<script>"', b"0", b"[[1]]")

TARGETS = {
    "images": Target(run_images, image_seeds, (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff")),
    "checkpoints": Target(run_checkpoints, checkpoint_seeds, (b"cos\nsystem\n", b"R", b"h")),
    "metadata": Target(run_metadata, metadata_seeds, _JSON),
    "options": Target(
        run_options,
        option_seeds,
        (b"[", b"(", b"dict(", b"{", b"${scale}", b"=", b".", b"\xb2", b"None", b"-1", b"1e999"),
    ),
    "results": Target(run_results, result_seeds, _JSON),
}


def prepare() -> None:
    """One thread each: what forks must have no threads of its own."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def emptied(folder: Path) -> Path:
    """The folder, without what the last input left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
