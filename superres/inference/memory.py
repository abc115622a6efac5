"""How much memory a network takes per input pixel, how much there is, and running out of it."""

from __future__ import annotations

import weakref
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from superres.inference.whole import Upscaler

PROBE = 48
"""Side of the picture on which a network's appetite is measured, in pixels."""

# Convolution libraries hold reordered copies of their input and output beside the tensors that
# are counted here.
_WORKSPACE = 2.0
_FALLBACK = 2 * 1024**3  # where the system does not tell what is free

_known: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors alive, and their peak, while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        weakref.finalize(storage, self._remove, key, size).atexit = False
        self.now += size
        self.peak = max(self.peak, self.now)

    def _remove(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def bytes_per_pixel(net: Upscaler, x: torch.Tensor) -> float:
    """Memory that ``net`` needs at its peak, in bytes per input pixel (of the whole batch).

    Measured once per network by running it on a corner of ``x`` and counting live tensors, so it
    holds for any network made of torch operations. What runs outside of torch is seen only by
    its input and output, so a network may tell by a method ``bytes_per_pixel(x)`` of its own.
    """
    if hasattr(net, "bytes_per_pixel"):
        return net.bytes_per_pixel(x)
    key = (x.shape[0], x.shape[1], x.dtype, x.device, net.scale)
    try:
        known = _known.setdefault(net, {})
    except TypeError:  # not hashable, or no weak references: measure each time
        known = {}
    if key not in known:
        corner = x[:, :, :PROBE, :PROBE].contiguous()
        with LiveBytes() as live:
            net(corner)
        known[key] = _WORKSPACE * live.peak / (corner.shape[2] * corner.shape[3])
    return known[key]


def free_memory(device: torch.device) -> int:
    """Bytes that may be taken on a device: 80 % of a GPU's free memory, half of a computer's."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(0.8 * (free + cached))
    found = [_meminfo(), _cgroup()]
    return min((x // 2 for x in found if x is not None), default=_FALLBACK)


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
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text
    )


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of this process: of the GPU it works on, else of the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
