"""Training samples from packs and from image files, against PNG sub-images and bare copies."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.harness import Row, Variant, measure, ratios, row, single_thread, sizes

SCALE, LQ_PATCH, BATCH = 4, 48, 16
HEIGHT, WIDTH = 1356, 2040  # DIV2K's most frequent size
SIDE = 480  # HR pixels of a sub-image, as BasicSR and MMEditing cut DIV2K
PREFETCH = 16  # as in a training
COUNT = 300  # batches of one timing of the workers
PNG, OURS, COPY = "480x480 sub-images as PNG", "superres", "crop copy only"
FILES = "superres, from image files (from the second epoch)"
_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sizes(parser, 1, images=40, workers=2)


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Make the same batches in several ways; then let workers deliver ours to an empty step."""
    single_thread()
    import torch

    from superres.datasets.pack import unpack
    from superres.datasets.paired import PairedDataset
    from superres.datasets.storage import open_store

    torch.set_num_threads(1)
    pack(folder, args.images)
    flips = [{"type": "RandomFlip", "direction": d} for d in ("horizontal", "vertical")]
    crop = {"type": "PairedRandomCrop", "lq_patch_size": LQ_PATCH}
    pipeline = [crop, *flips, {"type": "RandomTranspose"}, {"type": "PackInputs"}]
    gt, lq = str(folder / "HR.lmdb"), str(folder / f"LR_bicubic_X{SCALE}.lmdb")
    dataset = PairedDataset({"gt": gt, "lq": lq}, scale=SCALE, pipeline=pipeline)
    for packed, side in ((gt, "HR"), (lq, "LR")):
        unpack(open_store(packed), folder / "files" / side)
    with mock.patch.dict(os.environ, TMPDIR=str(folder)):  # of the raw cache
        files = PairedDataset(str(folder / "files"), scale=SCALE, pipeline=pipeline)
    rows = samples(dataset, files, args.repeats)
    found = ratios(rows, (PNG, OURS), (OURS, COPY), (OURS, FILES))
    rates = delivered(dataset, args.workers, args.repeats)
    name = f"{args.workers} worker{'s' * (args.workers > 1)}"
    starved = f"step time below which data starves it, {name}"
    rows.append(row(f"{name} to an empty step", rates, "batch/s"))
    rows.append(row(starved, [1000 / rate for rate in rates], "ms/batch"))
    setup = {"images": f"{args.images} of {WIDTH}x{HEIGHT}", "scale": SCALE}
    setup |= {"patch": f"{LQ_PATCH} (LR), {LQ_PATCH * SCALE} (HR)", "batch": BATCH, "threads": 1}
    return {"rows": rows, "ratios": found, "setup": setup}


def samples(dataset: Any, files: Any, repeats: int) -> list[Row]:
    """Time per sample of each way."""
    import numpy as np
    import torch

    from superres.datasets.loader import Ring
    from superres.datasets.sampler import IterationSampler

    collate, sampler = Ring(), IterationSampler(len(dataset), BATCH, seed=0)
    batches = [list(sampler.keys(i)) for i in range(40)]
    keys = [key for batch in batches for key in batch]
    crops = [(s["inputs"], s["gt"]) for s in map(dataset.__getitem__, keys)]  # views, no copies
    room = [np.empty((BATCH, *crop.shape), np.uint8) for crop in crops[0]]
    others = others_batch(dataset, batches[0])

    def ours(dataset: Any = dataset) -> dict[str, Any]:
        for batch in batches:  # as in a training, one is gone before the next but a few is made
            made = collate([dataset[key] for key in batch])
        return made

    def copy_only() -> None:
        for i, (lq, gt) in enumerate(crops):
            np.copyto(room[0][i % BATCH], lq)
            np.copyto(room[1][i % BATCH], gt)

    for part, other in zip(("inputs", "gt"), others()):
        assert other.shape == ours()[part].shape
        assert torch.equal(ours()[part], ours(files)[part])
    ways = {OURS: ours, FILES: partial(ours, files), COPY: copy_only}
    variants = [Variant(name, way, len(keys), "us/sample") for name, way in ways.items()]
    return measure([Variant(PNG, others, BATCH, "us/sample"), *variants], repeats)


def others_batch(dataset: Any, keys: list[Any]) -> Callable[[], Any]:
    """A call that does what other toolboxes must for such a batch: decode PNGs, crop, flip, stack.

    Their draws and their reading cost nothing here.
    """
    import cv2
    import numpy as np
    import torch

    files = []
    for key in keys:
        name = dataset[key]["meta"]["name"]
        for store, factor in ((dataset.lq, 1), (dataset.gt, SCALE)):
            side, level = SIDE // SCALE * factor, [cv2.IMWRITE_PNG_COMPRESSION, 3]
            png = cv2.imencode(".png", store.read(name)[:side, :side], level)
            files.append((png[1], LQ_PATCH * factor))

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        crops = []
        for png, size in files:
            crop = cv2.flip(cv2.imdecode(png, cv2.IMREAD_COLOR)[-size:, -size:], 1)
            crop = np.ascontiguousarray(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB).transpose(1, 0, 2))
            crops.append(torch.from_numpy(crop))
        return torch.stack(crops[::2]), torch.stack(crops[1::2])

    return batch


def delivered(dataset: Any, workers: int, repeats: int) -> list[float]:
    """Batches per second that reach a loop whose step is empty, once per repeat.

    Before each timing the loop takes what was prefetched while nobody looked.
    """
    from superres.datasets.loader import shut_down, train_loader
    from superres.datasets.sampler import IterationSampler

    ahead = workers * PREFETCH
    sampler = IterationSampler(len(dataset), BATCH, seed=0, stop=(repeats + 1) * (COUNT + ahead))
    batches = iter(train_loader(dataset, sampler, workers, prefetch_factor=PREFETCH))
    rates = []
    for _ in range(repeats + 1):
        for _ in range(ahead):
            next(batches)
        started = time.perf_counter()
        for _ in range(COUNT):
            next(batches)
        rates.append(COUNT / (time.perf_counter() - started))
    shut_down(batches)
    return rates[1:]  # the first one met cold workers


def pack(root: Path, count: int) -> None:
    """Mosaics of scikit-image's photographs and their bicubic reductions, a pack each."""
    import numpy as np

    from superres.datasets.pack import pack_images
    from superres.imaging.io import read_image
    from superres.imaging.photographs import photograph
    from superres.imaging.resize import imresize

    photos = [read_image(photograph("skimage", f"data/{name}")) for name in _PHOTOS]

    def image(i: int, scale: int) -> np.ndarray:
        photo = np.roll(photos[i % len(photos)], 101 * (i // len(photos)), axis=1)
        times = (-(-length // n) for length, n in zip((HEIGHT, WIDTH), photo.shape))
        gt = np.ascontiguousarray(np.tile(photo, (*times, 1))[:HEIGHT, :WIDTH])
        return gt if scale == 1 else imresize(gt, 1 / scale)

    for scale, target in ((1, "HR.lmdb"), (SCALE, f"LR_bicubic_X{SCALE}.lmdb")):
        loaders = ((f"{i:04d}", partial(image, i, scale)) for i in range(count))
        pack_images(loaders, root / target, num_workers=0)
