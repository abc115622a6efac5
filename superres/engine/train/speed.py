"""The fast step: which of its parts a run uses, from the config, the device and the optimiser.

Every part can be chosen on its own. Those that ``'auto'`` takes leave the result as it is, up to
the order of float32 sums; ``'max'`` adds reduced precision, compilation and CUDA graphs.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from superres.engine.config.values import as_parts
from superres.errors import UserError, did_you_mean
from superres.inference.backends.pytorch import has_bfloat16

PRESETS = ("auto", "max", "off")
FORMS = ("fused", "foreach", "capturable", "differentiable")
"""Arguments of torch's optimisers that choose how, not what, they compute."""


@dataclass(frozen=True)
class Fast:
    """What a run does.

    Attributes:
        amp: autocast's type, ``'bfloat16'`` or ``'float16'``; None computes in float32.
        channels_last: the weights lie in memory as the images do, channels innermost.
        compile: the backbone is compiled for training (never for validation, whose images have
            other sizes).
        cuda_graph: what was compiled is recorded once as CUDA graphs, and replayed.
        fused: the optimiser updates all weights in one kernel.
        prefetch: the next batch travels to the GPU while this one is computed.
        autotune: cuDNN tries its algorithms on the first batch and keeps the quickest.
        tf32: float32 products with TF32's mantissa of 10 bits on the GPU; None leaves torch's own
            setting (convolutions yes, matrix products no).
    """

    amp: str | None = None
    channels_last: bool = False
    compile: bool = False
    cuda_graph: bool = False
    fused: bool = False
    prefetch: bool = False
    autotune: bool = False
    tf32: bool | None = None

    def __str__(self) -> str:
        words = [f"amp {self.amp}"] if self.amp else []
        words += [part.replace("_", " ") for part in PARTS[1:] if getattr(self, part)]
        return ", ".join(words) or "plain float32"


PARTS = tuple(part.name for part in dataclasses.fields(Fast))


def resolve(
    fast: Any, amp: Any, device: torch.device, deterministic: bool = False, world_size: int = 1
) -> tuple[Fast, list[str]]:
    """The parts that a run uses, and a line for each that was requested but is not available.

    Args:
        fast: the config's ``speed``: ``'auto'``, ``'max'``, ``'off'`` (also False), or a dict of
            parts, each True, False or ``'auto'``, on top of its ``preset``.
        amp: the config's ``amp``: False, True, ``'bfloat16'`` or ``'float16'``.
        device: that trains.
        deterministic: leaves out what may choose another algorithm in another run.
        world_size: of the run.

    Raises:
        UserError: an unknown preset or part, or a value that a part cannot have.
    """
    wanted, preset = _wanted(fast)
    gpu, most = device.type == "cuda", preset == "max"
    notes: list[str] = []
    dtype = _amp_dtype(wanted["amp"], amp, most, device, notes)
    no_gpu = "" if gpu else f"there is no GPU, the device is {device.type}"
    several = f"it is for one process, and there are {world_size}" if world_size > 1 else ""
    eager = "compile is off" if wanted["compile"] is False else ""
    rules: dict[str, tuple[bool, str]] = {  # whether 'auto' takes it; why it is not possible
        "channels_last": (_likes_channels_last(device), ""),
        "compile": (most and gpu, ""),
        "cuda_graph": (most, no_gpu or several or eager),
        "fused": (True, ""),
        "prefetch": (True, no_gpu),
        "autotune": (not deterministic, no_gpu),
        "tf32": (most, no_gpu),
    }
    chosen: dict[str, Any] = {}
    for part, (default, obstacle) in rules.items():
        if wanted[part] is True and obstacle:
            notes.append(f"speed.{part}: {obstacle}; going on without")
        automatic = default and preset != "off"
        chosen[part] = not obstacle and (automatic if wanted[part] == "auto" else wanted[part])
    chosen["autotune"] &= not deterministic
    chosen["compile"] |= chosen["cuda_graph"]
    if no_gpu or (wanted["tf32"] == "auto" and not most):
        chosen["tf32"] = None
    return Fast(amp=dtype, **chosen), notes


def _wanted(speed: Any) -> tuple[dict[str, Any], str]:
    """Each part as the config has it, and the preset."""
    given = {"preset": "auto", **as_parts(speed)}
    switch = (True, False, "auto")
    values = {"preset": PRESETS, "amp": (*switch, "bfloat16", "float16")}
    for key, value in given.items():
        if key not in ("preset", *PARTS):
            near = did_you_mean(key, PARTS)
            raise UserError(f"config: speed has no part {key!r}{near}. It has {', '.join(PARTS)}")
        allowed = list(map(repr, values.get(key, switch)))
        if repr(value) not in allowed:
            raise UserError(f"config: speed.{key} = {value!r} must be one of {', '.join(allowed)}")
    return {**dict.fromkeys(PARTS, "auto"), **given}, given["preset"]


def _amp_dtype(
    part: Any, key: Any, strongest: bool, device: torch.device, notes: list[str]
) -> str | None:
    """The type of autocast. A type by name is taken as it is; else one that the device is fast in.

    bfloat16 on a processor that lacks its instructions is three times slower than float32.
    """
    chosen = (key or strongest) if part == "auto" else part
    if isinstance(chosen, str) or not chosen:
        return chosen or None
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if has_bfloat16():
        return "bfloat16"
    notes.append(
        "amp: this CPU has no native bfloat16; training in float32 (amp='bfloat16' forces it)"
    )
    return None


def _likes_channels_last(device: torch.device) -> bool:
    """Where channels_last is quicker: oneDNN on x86 (measured), tensor cores (not yet measured).

    On macOS and on Arm the libraries behind torch are others, and nothing was measured.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (7, 0)
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and platform.system() != "Darwin" and torch.backends.mkldnn.is_available()


def optimizer_options(
    optimizer: type | None, given: dict[str, Any], fast: Fast, device: torch.device
) -> dict[str, Any]:
    """Arguments that make an optimiser of torch quicker; {} where it knows none or some are given.

    Args:
        optimizer: its class.
        given: the config's arguments for it, which are left alone.
        fast: what is wanted.
        device: of the weights.
    """
    if optimizer is None or set(FORMS) & set(given):
        return {}
    # Those without a fused form take torch's default, which is foreach on a GPU.
    quick = fast.fused and device.type in ("cuda", "cpu")
    return {"fused": True} if quick and "fused" in inspect.signature(optimizer).parameters else {}


@contextmanager
def torch_settings(fast: Fast, deterministic: bool, device: torch.device) -> Iterator[None]:
    """torch's process-wide switches for a training, put back afterwards.

    With ``deterministic``, equal runs on equal machines give equal bits; an operation that has no
    deterministic form is an error that names it.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    switches = [(cudnn, "benchmark", fast.autotune)]
    if deterministic:
        switches.append((cudnn, "deterministic", True))
        switches.append((torch.utils.deterministic, "fill_uninitialized_memory", False))
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    if device.type == "cuda" and fast.tf32 is not None:
        if hasattr(matmul, "fp32_precision"):  # torch 2.9; where it was used the older ones fail
            precision = "tf32" if fast.tf32 else "ieee"
            switches += [(place, "fp32_precision", precision) for place in (cudnn.conv, matmul)]
        else:
            switches += [(place, "allow_tf32", fast.tf32) for place in (cudnn, matmul)]
    before = [getattr(place, name) for place, name, _ in switches]
    algorithms = torch.are_deterministic_algorithms_enabled()
    try:
        if deterministic:
            torch.use_deterministic_algorithms(True)
        for place, name, value in switches:
            setattr(place, name, value)
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms)
        for (place, name, _), value in zip(switches, before):
            setattr(place, name, value)


def prefetched(batches: Iterator[dict[str, Any]], device: torch.device) -> Iterator[dict[str, Any]]:
    """``batches`` with their tensors on a GPU, one batch ahead.

    The integers of a batch are copied from pinned memory, or made of what is on the GPU, on a
    stream of their own. The stream that computes waits for them, the process does not.

    What goes wrong while a batch is fetched is raised when it is that batch's turn: the one before
    it is good.

    Args:
        batches: dicts with tensors in pinned memory (others are copied, too, but wait).
        device: a CUDA device.
    """
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))  # a device cache is filled there

    def fetch() -> dict[str, Any] | Exception:
        try:
            with torch.cuda.stream(stream):  # where batches are made on the device: beside the step
                return {
                    k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v
                    for k, v in next(batches).items()
                }
        except Exception as error:  # StopIteration, too
            return error

    batch = fetch()
    while not isinstance(batch, Exception):
        main = torch.cuda.current_stream(device)
        main.wait_stream(stream)
        for value in batch.values():
            if isinstance(value, Tensor):
                value.record_stream(main)  # its memory is not reused while it is computed on
        following = fetch()
        yield batch
        batch = following
    if not isinstance(batch, StopIteration):
        raise batch
