"""From a PyTorch network to ONNX, which ONNX Runtime and OpenVINO run: made, compared, kept."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch
from torch import nn
from torch.nn import functional

from superres.errors import UserError
from superres.files import write_atomically
from superres.inference.backends.base import Backend, NotConvertible, one_line
from superres.inference.backends.ncnn_graph import cubic_kernels
from superres.inference.backends.pytorch import bytes_per_pixel, ready
from superres.inference.network import in_channels, radius_of
from superres.paths import cache_dir

logger = logging.getLogger("superres")

TOLERANCE = 1e-4
"""Largest difference from PyTorch's result, in units of the range (or of the largest value)."""
SIZES = ((24, 20), (13, 31))
"""Of the images that are compared: no multiples of anything, so that a size that became a constant
is noticed."""
_OPSET = 17
_KEPT = 16  # files


def picture(channels: int, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """Random pixels (1, channels, *size) in [0, 1]."""
    return torch.rand((1, channels, *size), generator=torch.Generator().manual_seed(seed))


def converted(kind: Callable[..., Backend], model: nn.Module) -> Backend:
    """The network as a program of another runtime, from the cache or converted now.

    The cache holds ONNX files under a hash of the weights. Each is compared with PyTorch on images
    of two sizes before it is used; one that is damaged, or of other operations with the same
    weights, is made again.

    Args:
        kind: makes a program of an ONNX file and `facts`.
        model: any network with ``scale``; it is copied.

    Raises:
        NotConvertible: ONNX or the runtime lacks an operation, its result differs, or its package
            is broken.
    """
    reference = copy.deepcopy(model).cpu().float().eval()
    told, file = facts(reference), _place(reference)
    if file is not None and file.is_file():
        try:
            program = kind(file.read_bytes(), *told)
            check(reference, program)
            return program
        except Exception as error:  # whatever a runtime makes of a file that it does not like
            logger.info("%s: made again (%s)", file, one_line(error))
    data = to_onnx(portable(model), picture(told[2], SIZES[0]))
    try:
        program = kind(data, *told)
    except Exception as error:  # a broken package raises anything
        raise NotConvertible(f"it cannot be loaded ({one_line(error)})") from error
    check(reference, program)
    if file is not None:
        _keep(file, data)
    return program


def facts(model: nn.Module) -> tuple[int, int | None, int, float]:
    """What `Backend` is told of a network."""
    channels = in_channels(model)
    return int(model.scale), radius_of(model), channels, bytes_per_pixel(model, channels)


def portable(model: nn.Module) -> nn.Module:
    """A copy of a network of operations that ONNX has."""
    net = ready(model)
    for name, part in list(net.named_modules()):
        # Torch's antialiased kernel, by which MATLAB's bicubic is made, is none of them.
        if type(part).__name__ == "BicubicUpsample" and part.method == "matlab" and part.scale > 1:
            parent, _, last = name.rpartition(".")
            setattr(net.get_submodule(parent), last, CubicConvolution(part.scale))
    return net


class CubicConvolution(nn.Module):
    """MATLAB's bicubic by a whole factor as a convolution, border pixels repeated.

    Args:
        scale: at least 2.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        kernels = torch.from_numpy(cubic_kernels(scale, "matlab")).float()
        self.register_buffer("kernels", kernels, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to (N, C, h * scale, w * scale)."""
        count, channels, height, width = x.shape
        padded = functional.pad(x, (2, 2, 2, 2), mode="replicate")
        padded = padded.reshape(count * channels, 1, height + 4, width + 4)
        y = functional.pixel_shuffle(functional.conv2d(padded, self.kernels), self.scale)
        return y.reshape(count, channels, height * self.scale, width * self.scale)


def to_onnx(program: nn.Module, example: torch.Tensor, channels_last: bool = False) -> bytes:
    """An ONNX file with the input ``lq`` and the output ``sr``, of any batch and any size.

    Raises:
        NotConvertible: an operation that ONNX does not have.
    """
    tall = 1 if channels_last else 2
    axes = {0: "n", tall: "h", tall + 1: "w"}
    file = io.BytesIO()
    # What tracer and exporter warn of is compared instead. Torch 2.13's exporter asks "is its log
    # on?" without the brackets, and so switches it on.
    log = mock.patch.object(torch._C, "_jit_is_onnx_log_enabled", None, create=True)
    silent = contextlib.redirect_stdout(io.StringIO())
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"), silent, log:
            torch.onnx.export(
                program,
                (example,),
                file,
                dynamo=False,
                opset_version=_OPSET,
                input_names=["lq"],
                output_names=["sr"],
                dynamic_axes={"lq": axes, "sr": {k: f"{v}_sr" for k, v in axes.items()}},
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
        x = picture(in_channels(model), size, seed)
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
        apart = float((found - wanted).abs().max() / limit)
        if not apart <= TOLERANCE:  # NaN, too
            raise NotConvertible(f"its result differs by {apart:.1g}")
        worst = max(worst, apart)
    return worst


def _place(model: nn.Module) -> Path | None:
    """Where a network's ONNX file is kept; None where there is no home folder."""
    told = (type(model).__name__, model.scale, torch.__version__, _OPSET)
    digest = hashlib.sha256(str(told).encode())
    for key, value in model.state_dict().items():
        digest.update(f"{key} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    with contextlib.suppress(RuntimeError):
        return cache_dir() / "converted" / f"{digest.hexdigest()[:32]}.onnx"
    return None


def _keep(file: Path, data: bytes) -> None:
    """Write a file to the cache, of which the oldest go; without one where that cannot be."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda out: out.write(data))
        files = sorted(file.parent.glob("*.onnx"), key=lambda f: f.stat().st_mtime)
        for old in files[:-_KEPT]:
            old.unlink(missing_ok=True)
    except (OSError, UserError) as error:
        logger.info("a converted network is not kept (%s)", error)
