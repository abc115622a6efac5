"""From a PyTorch network to ONNX, which ONNX Runtime and OpenVINO run: made, compared, kept."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Callable
from unittest import mock

import torch
from torch import nn

from superres.inference.backends.pytorch import TorchNetwork, ready
from superres.inference.network import Backend, NotConvertible, in_channels, one_line

TOLERANCE = 1e-4
"""Largest difference from PyTorch's result, in units of the range (or of the largest value)."""
SIZES = ((24, 20), (13, 31))
"""Of the images that are compared: no multiples of anything, so that a size that became a constant
is noticed."""
_OPSET = 17


def image(channels: int, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """Random pixels (1, channels, *size) in [0, 1]."""
    return torch.rand((1, channels, *size), generator=torch.Generator().manual_seed(seed))


def converted(kind: Callable[..., Backend], model: nn.Module) -> Backend:
    """The network as a program of another runtime, compared with PyTorch on images of two sizes.

    Args:
        kind: makes a program of an ONNX file and `facts`.
        model: any network with ``scale``; it is copied.

    Raises:
        NotConvertible: ONNX or the runtime lacks an operation, its result differs, or its package
            is broken.
    """
    reference = copy.deepcopy(model).cpu().float().eval()
    facts_ = facts(reference)
    data = to_onnx(ready(model), image(facts_[2], SIZES[0]))
    try:
        program = kind(data, *facts_)
    except Exception as error:  # a broken package raises anything
        raise NotConvertible(f"it cannot be loaded ({one_line(error)})") from error
    check(reference, program)
    return program


def facts(model: nn.Module) -> tuple[int, int | None, int, float]:
    """What a `Backend` knows about a network."""
    net = TorchNetwork(model, in_channels(model))
    return int(net.scale), net.receptive_radius, net.in_channels, net.bytes_per_pixel


def to_onnx(program: nn.Module, example: torch.Tensor, channels_last: bool = False) -> bytes:
    """An ONNX file with the input ``lq`` and the output ``sr``, of any batch and any size.

    Raises:
        NotConvertible: an operation that ONNX does not have.
    """
    tall = 1 if channels_last else 2
    axes, file = {0: "n", tall: "h", tall + 1: "w"}, io.BytesIO()
    any_size = {"lq": axes, "sr": {k: f"{v}_sr" for k, v in axes.items()}}
    names = {"input_names": ["lq"], "output_names": ["sr"], "dynamic_axes": any_size}
    # What tracer and exporter warn of is compared instead. Torch 2.13's exporter asks "is its log
    # on?" without the brackets, and so switches it on.
    log = mock.patch.object(torch._C, "_jit_is_onnx_log_enabled", None, create=True)
    silent = contextlib.redirect_stdout(io.StringIO())
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"), silent, log:
            torch.onnx.export(
                program, (example,), file, dynamo=False, opset_version=_OPSET, **names
            )
    except Exception as error:
        raise NotConvertible(one_line(error)) from error
    return file.getvalue()


@torch.no_grad()
def check(model: nn.Module, run: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Compare a converted network with the original on images of two sizes.

    Returns:
        The largest difference, in units of the range or of the largest value if that is larger.

    Raises:
        NotConvertible: it is more than `TOLERANCE`, or the sizes differ.
    """
    worst = 0.0
    for seed, size in enumerate(SIZES):
        x = image(in_channels(model), size, seed)
        wanted = model(x)
        try:
            found = run(x)
        except Exception as error:
            fault = f"it fails on {size[1]}x{size[0]} px: {one_line(error)}"
            raise NotConvertible(fault) from error
        if found.shape != wanted.shape:
            raise NotConvertible(f"it gives {tuple(found.shape)} for {tuple(wanted.shape)}")
        limit = wanted.abs().max().clamp(min=1)
        apart = float((found - wanted).abs().max() / limit)
        if not apart <= TOLERANCE:  # NaN, too
            raise NotConvertible(f"its result differs by {apart:.1g}")
        worst = max(worst, apart)
    return worst
