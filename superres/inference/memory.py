"""How much memory there is, giving some back, and running out of it."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from pathlib import Path
from typing import Any

_FALLBACK = 2 * 1024**3  # where the system does not tell what is free


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


def free_memory(device: Any) -> int:
    """Bytes that may be taken on a device: 80 % of a GPU's free memory, half of a computer's."""
    if on_gpu(device):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(0.8 * (free + cached))
    found = [_meminfo(), _cgroup()]
    return min((x // 2 for x in found if x is not None), default=_FALLBACK)


def give_back(device: Any) -> None:
    """Return what a GPU's allocator keeps for later."""
    if on_gpu(device):
        import torch

        torch.cuda.empty_cache()


def _meminfo() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _cgroup(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a container may still take, where one sets a limit (cgroup v2)."""
    try:
        limit = (root / "memory.max").read_text().strip()
        return None if limit == "max" else int(limit) - int((root / "memory.current").read_text())
    except (OSError, ValueError):
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text
    )


def peak_memory_mb(device: Any) -> float:
    """Peak memory of this process: of the GPU it works on, else of the CPU."""
    if on_gpu(device):
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
