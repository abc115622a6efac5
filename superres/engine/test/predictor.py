"""Methods to be scored: a picture in, a larger one out, and what that took."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from superres.imaging.resize import imresize
from superres.inference.backends.pytorch import LiveBytes

Method = Callable[[np.ndarray, int], tuple[np.ndarray, dict[str, Any]]]
"""(lq HWC, scale) to a picture in the range of ``lq``, float or integers, and a record for
results.json (``memory_mb``, ``inference``, ``notes``)."""

MEMORY_MEANS = {
    "cpu": "most bytes of tensors alive at a time beside the weights, in MiB",
    "cuda": "most bytes allocated on the GPU at a time, weights included, in MiB",
}


def peak(picture: np.ndarray) -> float:
    """The largest value of a picture's type."""
    return 65535.0 if picture.dtype == np.uint16 else 255.0


def bicubic(lq: np.ndarray, scale: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The baseline row of tables: MATLAB's bicubic."""
    return imresize(lq, scale=scale), {}


def network(module: torch.nn.Module, device: torch.device, **options: Any) -> Method:
    """A restorer as a method: integers in, unrounded floats in the same range out.

    Args:
        options: of :class:`superres.inference.Tiling`.
    """
    module.eval()

    @torch.inference_mode()
    def apply(lq: np.ndarray, scale: int) -> tuple[np.ndarray, dict[str, Any]]:
        batch = torch.from_numpy(np.array(lq))[None]  # a copy: packed pictures are read-only
        if hasattr(module, "set_scale"):
            module.set_scale(scale)
        on_gpu = device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)
        # On a CPU the process's own peak would depend on what ran before; this does not.
        with nullcontext() if on_gpu else LiveBytes() as live:
            data = module.data_preprocessor({"inputs": batch.to(device)}, False)
            # Tiles go to the device one by one, and the result comes back once.
            output, record = module.predict_with_record(data["inputs"].cpu(), **options)
        used = torch.cuda.max_memory_allocated(device) if on_gpu else live.peak
        picture = output[0].float().permute(1, 2, 0).mul(peak(lq)).cpu().numpy()
        told = dataclasses.asdict(record)
        facts = {"memory_mb": used / 2**20, "notes": told.pop("notes")}
        return picture, facts if record.mode == "whole" else {**facts, "inference": told}

    return apply
