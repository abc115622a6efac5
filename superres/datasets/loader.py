"""From a dataset to batches: collation and the data loaders of training and testing."""

from __future__ import annotations

import signal
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from superres.errors import UserError
from superres.imaging._cv2 import import_cv2

from .sampler import IterationSampler
from .transforms.views import apply_view, view_shape

cv2 = import_cv2()

_TORCH_DTYPES = {np.dtype(np.uint8): torch.uint8, np.dtype(np.uint16): torch.uint16}


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Packed samples to one batch: ``inputs`` and ``gt`` (N, H, W, C) and the list ``meta``.

    Each picture is flipped or transposed on its way into the batch, so its pixels are moved once.

    Raises:
        UserError: pictures of different sizes or types in one batch.
    """
    batch: dict[str, Any] = {"meta": [s["meta"] for s in samples]}
    for key in ("inputs", "gt"):
        if key not in samples[0]:
            continue
        first = samples[0][key]
        shape = view_shape(first.shape, samples[0]["view"])
        tensor = torch.empty((len(samples), *shape), dtype=_TORCH_DTYPES.get(first.dtype))
        if get_worker_info() is not None:
            # Filled in shared memory straight away: handing it to the trainer copies nothing.
            tensor.share_memory_()
        target = tensor.numpy()
        for i, sample in enumerate(samples):
            picture = sample[key]
            if view_shape(picture.shape, sample["view"]) != shape or picture.dtype != first.dtype:
                raise UserError(
                    f"a batch mixes {picture.shape} {picture.dtype} "
                    f"({sample['meta'].get('gt_path')}) with {first.shape} {first.dtype} "
                    f"({samples[0]['meta'].get('gt_path')}). A PairedRandomCrop in the pipeline "
                    "gives equal sizes; dtype='uint8' in the dataset gives equal types"
                )
            apply_view(picture, sample["view"], out=target[i])
        batch[key] = tensor
    return batch


def init_worker(_: int) -> None:
    """One thread each, and Ctrl-C is the trainer's business, not the workers'."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def train_loader(
    dataset: Dataset,
    sampler: IterationSampler,
    num_workers: int = 0,
    start_method: str | None = None,
    prefetch_factor: int = 4,
    pin_memory: bool = False,
) -> DataLoader:
    """Batches in the order of ``sampler``.

    Args:
        dataset: its samples end in ``PackInputs``.
        sampler: also decides at which iteration to start.
        num_workers: processes that prepare batches; 0 does it in the training process.
        start_method: 'fork', 'spawn' or 'forkserver'; None is the system's own.
        prefetch_factor: batches in advance per worker.
        pin_memory: for transfers to a GPU.
    """
    if start_method not in (None, "fork", "spawn", "forkserver"):
        raise UserError(
            f"config: train_dataloader.start_method = {start_method!r} must be 'fork', 'spawn' or "
            "'forkserver'"
        )
    options: dict[str, Any] = {}
    if num_workers:
        options = {
            "worker_init_fn": init_worker,
            "prefetch_factor": prefetch_factor,
            "multiprocessing_context": start_method,
        }
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=num_workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        **options,
    )
