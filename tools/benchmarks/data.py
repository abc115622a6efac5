"""Training samples from disk: ours against PNG sub-images, and against merely copying the crops."""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, Variant, measure, ratios, row, single_thread
from superres.options import whole

SCALE, LQ_PATCH, BATCH = 4, 48, 16
HEIGHT, WIDTH = 1356, 2040  # DIV2K's most frequent size
SIDE = 480  # HR pixels of a sub-image, as BasicSR and MMEditing cut DIV2K
PREFETCH = 4
COUNT = 300  # batches of one timing of the workers
PNG, OURS, COPY = "480x480 sub-image PNGs in LMDB", "superres", "crop copy only"
_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--images", type=whole(1), default=40, help="2040x1356, of the set (40)")
    add("--workers", type=whole(1), default=2, help="of the data loader (2)")


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Make the same batches in three ways; then let workers deliver ours to an empty step."""
    single_thread()
    import torch

    from superres.datasets.paired import PairedDataset

    torch.set_num_threads(1)
    pack(folder, args.images)
    flips = [{"type": "RandomFlip", "direction": d} for d in ("horizontal", "vertical")]
    crop = {"type": "PairedRandomCrop", "lq_patch_size": LQ_PATCH}
    pipeline = [crop, *flips, {"type": "RandomTranspose"}, {"type": "PackInputs"}]
    gt, lq = str(folder / "HR.lmdb"), str(folder / f"LR_bicubic_X{SCALE}.lmdb")
    dataset = PairedDataset(gt=gt, lq=lq, scale=SCALE, pipeline=pipeline)
    rows = samples(dataset, folder, args.repeats)
    found = ratios(rows, (PNG, OURS), (OURS, COPY))
    rates = delivered(dataset, args.workers, args.repeats)
    name = f"{args.workers} worker{'s' * (args.workers > 1)}"
    rows += [
        row(f"{name} to an empty step", rates, "batch/s"),
        row(
            f"step time below which data starves it, {name}", [1000 / r for r in rates], "ms/batch"
        ),
    ]
    patches = f"{LQ_PATCH} (LR), {LQ_PATCH * SCALE} (HR)"
    setup = {"images": f"{args.images} of {WIDTH}x{HEIGHT}", "scale": SCALE, "patch": patches}
    return {"rows": rows, "ratios": found, "setup": {**setup, "batch": BATCH, "threads": 1}}


def samples(dataset: Any, folder: Path, repeats: int) -> list[Row]:
    """Time per sample of the three ways."""
    import numpy as np
    import torch

    from superres.datasets.loader import Collate
    from superres.datasets.sampler import IterationSampler

    collate, sampler = Collate(), IterationSampler(len(dataset), BATCH, seed=0)
    batches = [list(sampler.keys(i)) for i in range(40)]
    keys = [key for batch in batches for key in batch]
    crops = [(s["inputs"], s["gt"]) for s in map(dataset.__getitem__, keys)]  # views, no copies
    room = [np.empty((BATCH, *crop.shape), np.uint8) for crop in crops[0]]
    others = SubImages(folder / "sub.lmdb", dataset, batches[0])

    def ours(chosen: list[Any] = batches) -> list[dict]:
        return [collate([dataset[key] for key in batch]) for batch in chosen]

    def copy_only() -> None:
        for i, (lq, gt) in enumerate(crops):
            np.copyto(room[0][i % BATCH], lq)
            np.copyto(room[1][i % BATCH], gt)

    (made,) = ours(batches[:1])
    if not all(map(torch.equal, others.batch(), (made["inputs"], made["gt"]))):
        raise AssertionError("the sub-images and superres disagree")
    return measure(
        [
            Variant(PNG, others.batch, BATCH, "us/sample"),
            Variant(OURS, ours, len(keys), "us/sample"),
            Variant(COPY, copy_only, len(keys), "us/sample"),
        ],
        repeats,
    )


class SubImages:
    """A batch as other toolboxes make it: decode a PNG sub-image, crop, augment, stack.

    What is drawn is given: drawing costs it nothing.

    Args:
        path: of the LMDB to write.
        dataset: whose draws are made again.
        keys: of the batch.
    """

    def __init__(self, path: Path, dataset: Any, keys: list[Any]) -> None:
        import cv2
        import lmdb

        self.store, self.draws = lmdb.open(str(path), 1 << 30), []
        with self.store.begin(write=True) as transaction:
            for number, key in enumerate(keys):
                meta = dataset[key]["meta"]
                for store, factor in ((dataset.lq, 1), (dataset.gt, SCALE)):
                    image, side = store.read(meta["name"]), SIDE // SCALE * factor
                    top, left, patch = (n * factor for n in (meta["top"], meta["left"], LQ_PATCH))
                    y, x = min(top, image.shape[0] - side), min(left, image.shape[1] - side)
                    cut = cv2.cvtColor(image[y : y + side, x : x + side], cv2.COLOR_RGB2BGR)
                    png = cv2.imencode(".png", cut, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1]
                    name = f"{number}/{factor}".encode()
                    transaction.put(name, png.tobytes())
                    self.draws.append((name, top - y, left - x, patch, meta["view"]))

    def batch(self) -> tuple[Any, Any]:
        """(N, h, w, 3) uint8 tensors: LR and HR."""
        import cv2
        import numpy as np
        import torch

        found = []
        with self.store.begin(buffers=True) as transaction:
            for name, top, left, size, view in self.draws:
                value = np.frombuffer(transaction.get(name), np.uint8)
                patch = cv2.imdecode(value, cv2.IMREAD_COLOR)[top : top + size, left : left + size]
                patch = cv2.flip(patch, 1) if view & 1 else patch
                patch = cv2.flip(patch, 0) if view & 2 else patch
                patch = np.ascontiguousarray(patch.transpose(1, 0, 2) if view & 4 else patch)
                found.append(torch.from_numpy(cv2.cvtColor(patch, cv2.COLOR_BGR2RGB)))
        return torch.stack(found[::2]), torch.stack(found[1::2])


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
