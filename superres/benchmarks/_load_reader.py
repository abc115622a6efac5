"""A training's reading without the training: a process that takes batches and drops them."""

from __future__ import annotations

import json
import sys

BATCH = 16


def main() -> None:
    """Read ``samples`` of a pair of packs with ``workers`` processes, as ``sys.argv[1]`` says."""
    from superres.datasets.loader import shut_down, train_loader
    from superres.datasets.paired import PairedDataset
    from superres.datasets.sampler import IterationSampler

    job = json.loads(sys.argv[1])
    pipeline = [
        {"type": "PairedRandomCrop", "lq_patch_size": 48},
        {"type": "RandomFlip"},
        {"type": "PackInputs"},
    ]
    dataset = PairedDataset(gt=job["gt"], lq=job["lq"], scale=2, pipeline=pipeline)
    sampler = IterationSampler(len(dataset), BATCH, seed=0, stop=job["samples"] // BATCH)
    batches = iter(train_loader(dataset, sampler, job["workers"]))
    done = 0
    for batch in batches:
        if not done:
            print("the first batch is here", flush=True)
        done += len(batch["inputs"])
    shut_down(batches)
    if done != job["samples"] // BATCH * BATCH:
        sys.exit(f"{done} samples came instead of {job['samples']}")
