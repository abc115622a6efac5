"""Memory of the CPU and of GPUs: what is free, what was used at most, and running out of it."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

_CGROUP = Path("/sys/fs/cgroup")
_UNKNOWN = 4 << 30  # bytes, assumed where the system does not report free memory


def on_gpu(device: Any) -> bool:
    """Whether a device (a name or a `torch.device`) is a CUDA device."""
    return str(device).startswith("cuda")


def cuda_is_likely() -> bool:
    """Whether torch probably finds a CUDA or ROCm device; judged without importing torch."""
    if not importlib.util.find_spec("torch") or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        return True
    except OSError:
        return os.path.exists("/dev/kfd")  # AMD's driver


def available(device: Any) -> int:
    """Bytes that are free on a device, or within the limit of a container (cgroup v2) if less.

    4 GiB where the system does not say, as on Windows and macOS.
    """
    if on_gpu(device):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        # What torch has reserved and does not use is free, too.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = []
    with contextlib.suppress(OSError, ValueError):
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(lines.get("MemAvailable", "").removesuffix("kB")) * 1024)
    with contextlib.suppress(OSError, ValueError):  # "max": no limit
        limit, used = (int((_CGROUP / f"memory.{x}").read_text()) for x in ("max", "current"))
        found.append(limit - used)
    return min(found, default=_UNKNOWN)


def default_budget(device: Any) -> int:
    """Bytes to use where no budget is given: 80 % of a GPU's free memory, half of the CPU's."""
    return int((0.8 if on_gpu(device) else 0.5) * available(device))


def empty_cache(device: Any) -> None:
    """Return memory that torch reserved on a GPU and does not use; does nothing on a CPU."""
    if on_gpu(device):
        import torch

        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that the memory of a GPU or of the CPU ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def peak_memory_mb(device: Any) -> float:
    """Peak memory of this process in MiB, on the GPU if ``device`` is one; 0 if not known."""
    if on_gpu(device):
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
