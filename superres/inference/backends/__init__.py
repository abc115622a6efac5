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
from superres.inference.luma import on_luma
from superres.inference.network import Backend, NotConvertible

if TYPE_CHECKING:
    import torch
    from torch import nn

logger = logging.getLogger("superres")

__all__ = ["NAMES", "Backend", "NotConvertible", "as_network", "best", "check_name", "installed"]

_NEEDS = {
    "ncnn": ("ncnn",),
    "openvino": ("openvino", "onnx"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "torch": (),
}
NAMES = tuple(_NEEDS)
"""On a CPU the fastest first."""

# Conversions silence standard output while they last, which is one for all threads.
_converting = threading.Lock()


def installed() -> list[str]:
    """The back ends whose packages are here, the fastest on a CPU first."""
    return [name for name in NAMES if not _missing(name)]


def as_network(net: Any, channels: int = 3) -> Backend:
    """A `Backend` as it is; any other callable, on torch tensors, by the adapter for torch."""
    if hasattr(net, "run"):
        return net
    from superres.inference.backends.pytorch import TorchNetwork

    return TorchNetwork(net, channels)


def best(
    model: nn.Module | Backend,
    device: str | torch.device = "cpu",
    backend: str = "auto",
    dtype: str = "fp32",
) -> Backend:
    """The network behind the fastest back end for a device.

    Args:
        model: maps (N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale); with ``scale``. It
            is copied, and stays as it is.
        device: where to run.
        backend: ``'auto'`` or one of `NAMES`. Automatic is PyTorch on a CUDA device, else the
            first of those installed that can run this network; ``notes`` then says why not an
            earlier one. Only networks that were loaded from a file are tried on ncnn.
        dtype: see `pytorch.prepared`; other back ends compute in float32, so asking for another
            takes PyTorch.

    Returns:
        A `Backend`; its ``name`` says which one it is. A network that takes Y of YCbCr is one of
        RGB here, see `superres.inference.luma`.

    Raises:
        UserError: an unknown back end, or one that is not installed, not for this device, or
            cannot run this network.
    """
    check_name(backend)
    made = model.name if isinstance(model, Backend) else ""
    if made and backend not in ("auto", made):
        raise UserError(f"this network is a program for {made}, not for {backend}")
    if dtype != "fp32" and (made or backend not in ("auto", "torch")):
        raise UserError(f"back end {made or backend!r} has no dtype; take 'torch' for it")
    if made:
        return on_luma(model, model)
    import torch

    device, names = torch.device(device), [backend]
    if backend == "auto":
        names = installed() if device.type == "cpu" and dtype == "fp32" else ["torch"]
        if not hasattr(model, "superres_config"):
            names = [name for name in names if name != "ncnn"]
    label, notes = getattr(model, "architecture", type(model).__name__), []
    for name in names:
        try:
            with _converting:
                found = _make(name, model, device, dtype)
            found.notes = [*notes, *found.notes]
            return on_luma(found, model)
        except NotConvertible as error:
            if backend != "auto":
                fault = f"{label} cannot run on back end {name!r}: {error}"
                raise UserError(f"{fault}; take 'auto' or 'torch'") from error
            notes.append(f"not {name}: {error}")
            logger.warning("%s does not run on %s (%s)", label, name, error)
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


def _make(name: str, model: nn.Module, device: torch.device, dtype: str) -> Backend:
    if name == "torch":
        from superres.inference.backends.pytorch import prepared

        return prepared(model, device, dtype)
    if device.type != "cpu":
        raise UserError(f"back end {name!r} runs on the CPU only, not on {device}")
    from superres.inference.backends import conversion

    if name == "ncnn":  # written from the weights
        from superres.inference.backends.ncnn_backend import NcnnBackend

        if not hasattr(model, "superres_config"):
            raise NotConvertible("no file with its config was read")
        state = {key: value.detach().cpu().numpy() for key, value in model.state_dict().items()}
        made = NcnnBackend(model.superres_config, state, model.scale)
        conversion.check(copy.deepcopy(model).cpu().float().eval(), made)
        return made
    if name == "onnxruntime":
        from superres.inference.backends.onnx_runtime import OnnxRuntimeBackend as kind
    else:
        from superres.inference.backends.open_vino import OpenVinoBackend as kind
    return conversion.converted(kind, model)


def _missing(name: str) -> list[str]:
    return [package for package in _NEEDS[name] if importlib.util.find_spec(package) is None]
