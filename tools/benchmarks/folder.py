"""A folder of images by `superres upscale`: what engine, overlap and PNG level bring."""

from __future__ import annotations

import argparse
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.harness import Variant, measure, ratios, sizes

# What is usual is the third; each differs from the one before in one thing.
WAYS = {
    "torch, in turn, PNG level 4": ("torch", False, 4),
    "ncnn, in turn, PNG level 4": ("ncnn", False, 4),
    "ncnn, overlapping, PNG level 4": ("ncnn", True, 4),
    "ncnn, overlapping, PNG level 1": ("ncnn", True, 1),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sizes(parser, 8, side=256)
    sizes(parser, 1, images=50)


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Upscale the whole folder in each way in turn, x4 by edsr-s, PNG to PNG."""
    import cv2
    import numpy as np
    import torch

    rng, side = np.random.default_rng(0), args.side
    (folder / "in").mkdir()
    for number in range(args.images):  # smooth at first, with the noise of a camera
        coarse = rng.integers(0, 256, (side // 8 + 1, side // 8 + 1, 3), np.uint8)
        photo = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        noisy = photo + rng.normal(0, 3, photo.shape)
        cv2.imwrite(str(folder / "in" / f"{number:03}.png"), noisy.clip(0, 255).astype(np.uint8))
    calls = {name: partial(upscale, folder, *way) for name, way in WAYS.items()}
    variants = [Variant(name, call, args.images, "images/s") for name, call in calls.items()]
    rows = measure(variants, args.repeats)
    setup = {"images": f"{args.images} of {side}x{side} px, x4", "network": "edsr-s"}
    setup["threads"] = torch.get_num_threads()
    found = ratios(rows, *((new, old) for old, new in pairwise(WAYS)))
    return {"rows": rows, "ratios": found, "setup": setup}


def upscale(folder: Path, backend: str, overlapping: bool, level: int) -> None:
    """All images, in this process.

    Raises:
        AssertionError: one of them failed.
    """
    from superres.upscaling import upscale_files, writing
    from superres.upscaling.networks import Networks, Options
    from superres.upscaling.targets import list_jobs

    jobs = list_jobs([str(folder / "in")], str(folder / "out"), 4).jobs
    options = Options("edsr-s", 4, device="cpu", backend=backend, overwrite=True)
    as_usual = writing._options
    asked = lambda *args: as_usual(*args) | {"compress_level": level}  # noqa: E731
    with (
        mock.patch.object(writing, "_options", asked),
        mock.patch.object(upscale_files, "_BESIDE", overlapping and upscale_files._BESIDE),
    ):
        _, code = upscale_files.run_jobs(jobs, Networks(options), options, mock.Mock())
    assert code == 0
