"""What data-loader workers deliver, and what they need: parts of the data benchmark."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from superres.benchmarks._watch import kilobytes
from superres.datasets.loader import collate, init_worker, shut_down, train_loader
from superres.datasets.pack import pack_images
from superres.datasets.paired import PairedDataset
from superres.datasets.sampler import IterationSampler

COUNT = 300  # batches of one timing


def delivered(dataset: PairedDataset, batch: int, workers: int, repeats: int) -> list[float]:
    """Batches per second that reach a loop whose step is empty, once per repeat.

    Before each timing the loop takes what was prefetched while nobody looked.
    """
    prefetch = 4
    ahead = workers * prefetch
    stop = (repeats + 1) * (COUNT + ahead)
    sampler = IterationSampler(len(dataset), batch, seed=0, stop=stop)
    batches = iter(train_loader(dataset, sampler, workers, prefetch_factor=prefetch))
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


def private_memory(sizes: tuple[int, ...], repeats: int) -> dict[int, list[float]] | None:
    """MiB of a worker's own memory, ``repeats`` times over a run through sets of these sizes.

    Each set is read by a process of its own, which got it as a data loader hands it out. Own is
    what no file backs (``Anonymous`` in smaps); None where the system does not tell.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        return None
    found = {}
    context = multiprocessing.get_context("spawn")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            dataset = _small_pictures(Path(folder), size)
            receiver, sender = context.Pipe(duplex=False)
            worker = context.Process(target=_read_all, args=(dataset, repeats, sender))
            worker.start()
            sender.close()
            found[size] = receiver.recv()
            worker.join()
    return found


class _Patch:
    """A loader for the packer: picture ``i``, made anew."""

    def __init__(self, i: int, side: int) -> None:
        self.i, self.side = i, side

    def __call__(self) -> np.ndarray:
        return np.random.default_rng(self.i).integers(0, 256, (self.side, self.side, 3), np.uint8)


def _small_pictures(folder: Path, count: int) -> PairedDataset:
    for name, side in (("HR", 64), ("LR", 16)):
        pictures = [(f"a picture with a name of usual length {i:07d}", i) for i in range(count)]
        pack_images(((name, _Patch(i, side)) for name, i in pictures), folder / name, num_workers=0)
    pipeline: list[dict[str, Any]] = [
        {"type": "PairedRandomCrop", "lq_patch_size": 12},
        {"type": "PackInputs"},
    ]
    gt, lq = str(folder / "HR"), str(folder / "LR")
    return PairedDataset(gt=gt, lq=lq, scale=4, pipeline=pipeline)


def _read_all(dataset: PairedDataset, repeats: int, sender: Any) -> None:
    """In the worker: every picture once, and how much memory is ours on the way."""
    init_worker(0)
    batch = min(16, len(dataset))
    sampler = IterationSampler(len(dataset), batch, seed=0)
    iterations = max(repeats, len(dataset) // batch)
    used = []
    for i in range(iterations):
        collate([dataset[key] for key in sampler.keys(i)])
        if (i + 1) * repeats // iterations > i * repeats // iterations:
            used.append(_anonymous())
    sender.send(used)


def _anonymous() -> float:
    return kilobytes(Path("/proc/self/smaps_rollup")).get("Anonymous", nan) / 1024
