"""Back ends: the same network computed by ncnn, OpenVINO, ONNX Runtime or PyTorch.

Importing this loads none of them.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import threading
from typing import TYPE_CHECKING, Any

from superres.errors import UserError
from superres.inference.backends.base import Backend, NotConvertible
from superres.inference.network import Network

if TYPE_CHECKING:
    import torch
    from torch import nn

logger = logging.getLogger("superres")

__all__ = ["NAMES", "Backend", "NotConvertible", "as_network", "best", "check_name", "installed"]

NAMES = ("ncnn", "openvino", "onnxruntime", "torch")
"""On a CPU the fastest first."""
_NEEDS = {
    "ncnn": ("ncnn",),
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "torch": (),
}

# Conversions silence standard output while they last, which is one for all threads.
_converting = threading.Lock()


def installed() -> list[str]:
    """The back ends whose packages are here, the fastest on a CPU first."""
    return [name for name in NAMES if not _missing(name)]


def as_network(net: Any, channels: int = 3) -> Network:
    """A `Network` as it is; any other callable, on torch tensors, by the adapter for torch."""
    if hasattr(net, "run"):
        return net
    from superres.inference.backends.pytorch import TorchNetwork

    return TorchNetwork(net, channels)


def best(
    model: nn.Module,
    device: str | torch.device = "cpu",
    backend: str = "auto",
    dtype: str = "fp32",
    compile: bool = False,
) -> Backend:
    """The network behind the fastest back end for a device.

    Args:
        model: maps (N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale); with ``scale``. It
            is copied, and stays as it is.
        device: where to run; ``'auto'`` is the first CUDA device if there is one, else the CPU.
        backend: ``'auto'`` or one of `NAMES`. Automatic is PyTorch on a CUDA device, else the
            first of those installed that can run this network; ``notes`` then says why not an
            earlier one. Only networks that were loaded from a file are tried on ncnn.
        dtype, compile: see `TorchBackend`; other back ends compute in float32 only, so asking
            for either takes PyTorch.

    Returns:
        A `Backend`; its ``name`` says which one it is.

    Raises:
        UserError: an unknown back end, or one that is not installed, not for this device, or
            cannot run this network.
    """
    check_name(backend)
    if isinstance(model, Backend):
        if backend not in ("auto", model.name):
            raise UserError(f"this network is a program for {model.name}, not for {backend}")
        if dtype != "fp32" or compile:
            raise UserError(f"back end {model.name!r} has no dtype and no compile")
        return model
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(device)
    special = dtype != "fp32" or compile
    if backend == "auto" and (device.type != "cpu" or special):
        backend = "torch"
    if backend == "torch":
        return _make(backend, model, device, dtype, compile)
    if special:
        raise UserError(f"back end {backend!r} has no dtype and no compile; take 'torch' for them")
    if backend != "auto":
        try:
            return _make(backend, model, device)
        except NotConvertible as error:
            raise UserError(
                f"{_label(model)} cannot run on back end {backend!r}: {error}; "
                "take 'auto' or 'torch'"
            ) from error
    notes = []
    for name in installed():
        if name == "ncnn" and not hasattr(model, "superres_config"):
            continue
        try:
            made = _make(name, model, device)
        except NotConvertible as error:
            notes.append(f"not {name}: {error}")
            logger.warning("%s does not run on %s (%s)", _label(model), name, error)
            continue
        made.notes = [*notes, *made.notes]
        return made
    raise AssertionError("PyTorch runs every network")


def check_name(backend: str) -> None:
    """Nothing, if that is ``'auto'`` or a back end that is installed.

    Raises:
        UserError: there is none of that name, or its packages are missing.
    """
    if backend not in ("auto", *NAMES):
        raise UserError(f"backend {backend!r} is not known; choose auto, {', '.join(NAMES)}")
    if backend != "auto" and (missing := _missing(backend)):
        extra = "ncnn" if backend == "ncnn" else f"'superres[{backend}]'"
        raise UserError(f"back end {backend!r} needs {' and '.join(missing)}: pip install {extra}")


def _make(name: str, model: nn.Module, device: torch.device, *options: Any) -> Backend:
    with _converting:
        if name == "torch":
            from superres.inference.backends.pytorch import TorchBackend

            return TorchBackend(model, device, *options)
        if device.type != "cpu":
            raise UserError(f"back end {name!r} runs on the CPU only, not on {device}")
        if name == "ncnn":
            return _ncnn(model)
        from superres.inference.backends.converted import convert
        from superres.inference.backends.onnx_runtime import OnnxRuntimeBackend
        from superres.inference.backends.open_vino import OpenVinoBackend

        kinds = (OnnxRuntimeBackend, OpenVinoBackend)
        return convert(next(kind for kind in kinds if kind.name == name), model)


def _ncnn(model: nn.Module) -> Backend:
    """Written from the weights, and compared with what PyTorch computes."""
    from superres.inference.backends import conversion
    from superres.inference.backends.ncnn_backend import NcnnBackend

    config = getattr(model, "superres_config", None)
    if config is None:
        raise NotConvertible("the network does not come from a file, which would tell its config")
    state = {key: value.detach().cpu().numpy() for key, value in model.state_dict().items()}
    made = NcnnBackend(config, state, model.scale)
    conversion.check(copy.deepcopy(model).cpu().float().eval(), made)
    return made


def _missing(name: str) -> list[str]:
    return [package for package in _NEEDS[name] if importlib.util.find_spec(package) is None]


def _label(model: nn.Module) -> str:
    return getattr(model, "architecture", type(model).__name__)
