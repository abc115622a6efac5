"""Training samples from disk: ours against PNG sub-images, and against merely copying the crops."""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Variant, measure, ratio, report, row, single_thread
from superres.errors import UserError

if TYPE_CHECKING:
    from benchmarks._sub_images import SubImages

SCALE, LQ_PATCH, BATCH = 4, 48, 16
HEIGHT, WIDTH = 1356, 2040  # DIV2K's most frequent size
AS_PNG = 8  # pictures that the other gets; decoding them takes the same time again and again
PREFETCH = 4
COUNT = 300  # batches of one timing of the workers
NAMES = ("480x480 sub-image PNGs in LMDB", "superres", "crop copy only")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pictures", type=int, default=40, help="2040x1356, of the set (40)")
    parser.add_argument("--workers", type=int, default=2, help="of the data loader (2)")
    parser.add_argument("--temp", type=Path, help="folder for the packs, some 400 MB")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Make the same batches in three ways; then let workers deliver ours to an empty step."""
    if args.pictures < AS_PNG or args.workers < 1:
        raise UserError(f"benchmark data: at least {AS_PNG} --pictures and 1 of --workers")
    if args.temp and not args.temp.is_dir():
        raise UserError(f"benchmark data: --temp {args.temp} is no folder")
    single_thread()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="superres-data-", dir=args.temp) as folder:
        other = _write(Path(folder), args.pictures)
        rows, ratios = _samples(Path(folder), other, args.repeats)
        rates = _delivered(_dataset(Path(folder)), args.workers, args.repeats)
    name = "1 worker" if args.workers == 1 else f"{args.workers} workers"
    step = f"step time below which data starves it, {name}"
    rows += [
        row(f"{name} to an empty step", rates, "batch/s"),
        row(step, [1000 / r for r in rates], "ms/batch"),
    ]
    setup = {
        "pictures": f"{args.pictures} of {WIDTH}x{HEIGHT}",
        "scale": SCALE,
        "patch": f"{LQ_PATCH} (LR), {LQ_PATCH * SCALE} (HR)",
        "batch": BATCH,
        "threads": 1,
    }
    return report("data", rows, ratios, setup=setup)


def _dataset(root: Path) -> Any:
    """Ours, as the EDSR configs have it."""
    from superres.datasets.paired import PairedDataset

    flips = [{"type": "RandomFlip", "direction": d} for d in ("horizontal", "vertical")]
    crop = {"type": "PairedRandomCrop", "lq_patch_size": LQ_PATCH}
    pipeline = [crop, *flips, {"type": "RandomTranspose"}, {"type": "PackInputs"}]
    gt, lq = str(root / "HR.lmdb"), str(root / f"LR_bicubic_X{SCALE}.lmdb")
    return PairedDataset(gt=gt, lq=lq, scale=SCALE, pipeline=pipeline)


def _samples(
    root: Path, other: SubImages, repeats: int
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Time per sample of the three ways, and the ratios between them."""
    import numpy as np
    import torch

    from benchmarks._sub_images import Draw
    from superres.datasets.loader import Collate
    from superres.datasets.sampler import IterationSampler

    dataset, collate = _dataset(root), Collate()
    sampler = IterationSampler(len(dataset), BATCH, seed=0)
    iterations = range(40)
    keys = [key for i in iterations for key in sampler.keys(i)]
    crops = [(s["inputs"], s["gt"]) for s in map(dataset.__getitem__, keys)]  # views, no copies
    room = [np.empty((BATCH, *crop.shape), np.uint8) for crop in crops[0]]

    def ours() -> None:
        for i in iterations:
            collate([dataset[key] for key in sampler.keys(i)])

    def copy_only() -> None:
        for i, (lq, gt) in enumerate(crops):
            np.copyto(room[0][i % BATCH], lq)
            np.copyto(room[1][i % BATCH], gt)

    # The other makes batches of the same draws, from the pictures that it has. It is told what was
    # drawn: drawing costs it nothing.
    shared = [key for key in keys if key.index < AS_PNG]
    batches = [shared[:BATCH], shared[BATCH : 2 * BATCH]]
    placed = [other.place([Draw.of(dataset[key]["meta"]) for key in batch]) for batch in batches]
    for batch, place in zip(batches, placed):
        made = collate([dataset[key] for key in batch])
        if not all(map(torch.equal, other.batch(place), (made["inputs"], made["gt"]))):
            raise AssertionError("the sub-images and superres disagree")
    calls = (
        (lambda: [other.batch(place) for place in placed], 2 * BATCH),
        (ours, len(keys)),
        (copy_only, len(keys)),
    )
    rows = measure([Variant(n, c, i, "us/sample") for n, (c, i) in zip(NAMES, calls)], repeats)
    return rows, {
        "sub-image LMDB / superres (at least 60)": ratio(rows, NAMES[0], NAMES[1]),
        "superres / crop copy only (at most 2.5)": ratio(rows, NAMES[1], NAMES[2]),
    }


def _delivered(dataset: Any, workers: int, repeats: int) -> list[float]:
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


def _write(root: Path, count: int) -> SubImages:
    """The same pictures packed by superres, and the first of them as sub-images, which it gives."""
    import numpy as np

    from benchmarks._sub_images import SubImages, photographs
    from superres.datasets.pack import pack_images
    from superres.imaging.resize import imresize

    pictures = list(photographs(AS_PNG, HEIGHT, WIDTH))
    other = SubImages(root, LQ_PATCH, SCALE)
    for i, gt in enumerate(pictures):
        other.add(f"{i:04d}", gt)

    def image(i: int, scale: int) -> np.ndarray:  # more are the same ones, turned about
        gt = np.roll(pictures[i % AS_PNG], 101 * (i // AS_PNG), axis=1)
        return gt if scale == 1 else imresize(gt, 1 / scale)

    for scale, target in ((1, "HR.lmdb"), (SCALE, f"LR_bicubic_X{SCALE}.lmdb")):
        loaders = ((f"{i:04d}", partial(image, i, scale)) for i in range(count))
        pack_images(loaders, root / target, num_workers=0)
    return other
