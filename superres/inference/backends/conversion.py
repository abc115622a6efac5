"""From a PyTorch network to a program for ONNX Runtime or OpenVINO, for pictures of any size."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from superres.inference.backends.base import NotConvertible, one_line
from superres.inference.backends.cubic import replace_enlargement
from superres.inference.backends.fold import folded, one_thread
from superres.inference.backends.openvino_library import import_openvino
from superres.inference.network import in_channels

OPSET = 17
TOLERANCE = 1e-4
"""Largest difference from PyTorch's result, in units of the range (or of the largest value)."""
# Sides that are no multiples of anything, so that a size that became a constant is noticed.
_EXAMPLE = (24, 20)
_CHECKS = ((24, 20), (13, 31))


def picture(channels: int, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """Random pixels (1, channels, *size) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((1, channels, *size), generator=generator)


def prepared(model: nn.Module) -> nn.Module:
    """A folded copy of a network, of operations that every runtime has."""
    net = folded(model)
    replace_enlargement(net, in_channels(model))
    return net


def trace(model: nn.Module) -> torch.jit.ScriptModule:
    """A network's operations recorded, constants folded, on the CPU.

    Raises:
        NotConvertible: it cannot be recorded.
    """
    net = prepared(model)
    example = picture(in_channels(model), _EXAMPLE)
    try:
        with torch.no_grad(), one_thread(), _quiet():
            return torch.jit.trace(net, example, check_trace=False)
    except Exception as error:
        raise NotConvertible(one_line(error)) from error


def fingerprint(traced: torch.jit.ScriptModule, *versions: str) -> str:
    """A name for what a recorded network computes: operations, constants and weights."""
    digest = hashlib.sha256("\n".join((torch.__version__, *versions)).encode())
    graph = traced.inlined_graph
    # The tracer numbers the classes it has met in this process.
    digest.update(re.sub(r"\.___torch_mangle_\d+", "", graph.str(False)).encode())
    for node in graph.findAllNodes("prim::Constant"):
        if "value" in node.attributeNames() and node.kindOf("value") == "t":
            digest.update(_bytes(node.t("value")))
    tensors = {**dict(traced.named_parameters()), **dict(traced.named_buffers())}
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()[:32]


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def write_onnx(
    program: torch.jit.ScriptModule | nn.Module, example: torch.Tensor, path: Path
) -> None:
    """Write an ONNX file with the input ``lq`` and the output ``sr``, any batch and any size.

    Raises:
        NotConvertible: an operation that ONNX does not have.
        OSError: the file cannot be written.
    """
    tall = 1 if example.shape[-1] in (1, 3) and example.dtype == torch.uint8 else 2
    axes = {0: "n", tall: "h", tall + 1: "w"}
    try:
        with torch.no_grad(), _quiet():
            torch.onnx.export(
                program,
                (example,),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=["lq"],
                output_names=["sr"],
                dynamic_axes={"lq": axes, "sr": {k: f"{v}_sr" for k, v in axes.items()}},
            )
    except OSError:
        raise
    except Exception as error:
        raise NotConvertible(one_line(error)) from error


def write_openvino(
    program: torch.jit.ScriptModule | nn.Module,
    example: torch.Tensor,
    path: Path,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write an OpenVINO file (``.xml``, and ``.bin`` beside it), any batch and any size.

    ``facts`` go into its run-time information, below ``superres``.

    Raises:
        NotConvertible: an operation that OpenVINO does not have.
        OSError: the file cannot be written.
    """
    openvino = import_openvino()
    tall = 1 if example.shape[-1] in (1, 3) and example.dtype == torch.uint8 else 2
    shape = [-1 if axis in (0, tall, tall + 1) else n for axis, n in enumerate(example.shape)]
    try:
        with torch.no_grad(), _quiet():
            model = openvino.convert_model(
                program, example_input=example, input=[openvino.PartialShape(shape)]
            )
            model.inputs[0].set_names({"lq"})
            model.outputs[0].set_names({"sr"})
            for key, value in (facts or {}).items():
                model.set_rt_info(value, ["superres", key])
    except Exception as error:
        raise NotConvertible(one_line(error)) from error
    try:
        openvino.save_model(model, str(path), compress_to_fp16=False)
    except RuntimeError as error:  # of C++, without the system's reason
        raise OSError(f"{path.name} cannot be written: {one_line(error)}") from error


@torch.no_grad()
def check(model: nn.Module, run: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Compare a converted network with the original on pictures of two sizes.

    Returns:
        The largest difference, in units of the range or of the largest value if that is larger.

    Raises:
        NotConvertible: it is more than `TOLERANCE`, or the sizes differ.
    """
    worst = 0.0
    for seed, size in enumerate(_CHECKS):
        x = picture(in_channels(model), size, seed)
        with one_thread():
            wanted = model(x)
        try:
            found = run(x)
        except Exception as error:
            raise NotConvertible(
                f"it fails on {size[1]}x{size[0]} px: {one_line(error)}"
            ) from error
        if found.shape != wanted.shape:
            raise NotConvertible(f"it gives {tuple(found.shape)} for {tuple(wanted.shape)}")
        limit = wanted.abs().max().clamp(min=1)
        worst = max(worst, float((found - wanted).abs().max() / limit))
    if not worst <= TOLERANCE:
        raise NotConvertible(f"its result differs by {worst:.1g}")
    return worst


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracer's and the exporter's warnings: what they warn of is checked instead."""
    # torch 2.13's exporter asks "is its log on?" without the brackets, and so switches it on.
    name = "_jit_is_onnx_log_enabled"
    asked = getattr(torch._C, name, None)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            if asked is not None:
                setattr(torch._C, name, None)
            yield
        finally:
            if asked is not None:
                setattr(torch._C, name, asked)
