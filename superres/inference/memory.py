"""How much memory there is, giving some back, and running out of it."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

_CGROUP = Path("/sys/fs/cgroup")
_UNKNOWN = 4 << 30  # where the system does not tell what is free


def on_gpu(device: Any) -> bool:
    """Whether a device, a name or a `torch.device`, is a CUDA device."""
    return str(device).startswith("cuda")


def cuda_is_likely() -> bool:
    """Whether torch, which is not imported for it, may find a CUDA (or ROCm) device here."""
    if not importlib.util.find_spec("torch") or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        return True
    except OSError:
        return os.path.exists("/dev/kfd")


def available(device: Any) -> int:
    """Bytes that are free on a device, and in a container that sets a limit (cgroup v2)."""
    if on_gpu(device):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = []
    with contextlib.suppress(OSError, ValueError):
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(lines.get("MemAvailable", "").removesuffix("kB")) * 1024)
    with contextlib.suppress(OSError, ValueError):  # a limit that is "max" is none
        limit, used = (int((_CGROUP / f"memory.{x}").read_text()) for x in ("max", "current"))
        found.append(limit - used)
    return min(found, default=_UNKNOWN)


def free_memory(device: Any) -> int:
    """Bytes that may be taken on a device: 80 % of a GPU's free memory, half of a computer's."""
    return int((0.8 if on_gpu(device) else 0.5) * available(device))


def give_back(device: Any) -> None:
    """Return what a GPU's allocator keeps for later."""
    if on_gpu(device):
        import torch

        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def peak_memory_mb(device: Any) -> float:
    """Peak memory of this process: of the GPU it works on, else of the CPU."""
    if on_gpu(device):
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
