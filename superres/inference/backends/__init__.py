"""Back ends: the same network computed by PyTorch, ONNX Runtime or OpenVINO."""

from __future__ import annotations

import logging

import torch
from torch import nn

from superres.errors import UserError
from superres.inference.backends.base import Backend
from superres.inference.backends.pytorch import TorchBackend

logger = logging.getLogger("superres")

__all__ = ["NAMES", "Backend", "TorchBackend", "best", "installed"]

NAMES = ("openvino", "onnxruntime", "torch")
"""On a CPU the fastest first."""


def installed() -> list[str]:
    """The back ends whose packages are here, the fastest on a CPU first."""
    return ["torch"]


def best(
    model: nn.Module,
    device: str | torch.device = "cpu",
    backend: str = "auto",
    dtype: str = "fp32",
    compile: bool = False,
) -> Backend:
    """The network behind the fastest back end for a device.

    Args:
        model: maps (N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale); with ``scale`` and
            ``receptive_radius``. It is copied, and stays as it is.
        device: where to run; ``'auto'`` is the first CUDA device if there is one, else the CPU.
        backend: ``'auto'``, or one of `NAMES`.
        dtype, compile: see `TorchBackend`; other back ends compute in float32 only.

    Returns:
        A `Backend`; its ``name`` says which one it is.

    Raises:
        UserError: an unknown back end, or one that is not installed or not for this device.
    """
    if backend not in ("auto", *NAMES):
        raise UserError(f"backend {backend!r} is not known; choose auto, {', '.join(NAMES)}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return TorchBackend(model, torch.device(device), dtype, compile)
