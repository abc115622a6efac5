"""ncnn: float32 with Winograd's convolutions on the CPU, or a GPU by Vulkan."""

from __future__ import annotations

import itertools
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from superres.errors import UserError
from superres.inference.backends.ncnn_networks import write
from superres.inference.network import Backend, NotConvertible, one_line, threads
from superres.inference.windows import in_tiles, joined, spans

_SECOND_PART, _STRAIGHT = 76 << 20, 24 << 20
"""Bytes for a tile of a network's second part: whose maps are the large ones, or which is one
convolution, quickest where its matrix stays in the cache."""


class NcnnBackend(Backend):
    """A network of this package, from its config and weights, without torch.

    Args:
        config: with the network's ``type`` and all of its arguments.
        state: name -> array.
        scale: of several, the one to take.
        device: ``'cpu'``, or ``'vulkan'`` for the first GPU that has it.

    Raises:
        NotConvertible: ncnn is not there, or this network cannot be written for it.
        UserError: no Vulkan here.
    """

    name = "ncnn"

    def __init__(
        self,
        config: Mapping[str, Any],
        state: Mapping[str, np.ndarray],
        scale: int,
        device: str = "cpu",
    ) -> None:
        ncnn = _import_ncnn()
        self._net, self._mat = ncnn.Net(), ncnn.Mat
        option = self._net.opt
        self._pools = (ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator())
        option.blob_allocator, option.workspace_allocator = self._pools
        option.num_threads = threads() or option.num_threads
        for lower in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(option, f"use_{lower}", False)
        if device == "vulkan":
            if not ncnn.get_gpu_count():
                raise UserError("device 'vulkan': ncnn finds no GPU with Vulkan; leave it out")
            option.use_vulkan_compute = True
        w = self._written = write(config, state, scale)
        try:
            with tempfile.TemporaryDirectory(prefix="superres-") as folder:
                file = Path(folder) / "weights.bin"  # of one in memory ncnn keeps the address
                file.write_bytes(w.weights)
                bad = self._net.load_param_mem(w.param) or self._net.load_model(str(file))
        except OSError as error:
            raise NotConvertible(f"it cannot be written ({error.strerror or error})") from error
        if bad:
            raise NotConvertible("it cannot be loaded")
        first, second = w.bytes_per_pixel
        super().__init__(scale, w.radius, w.channels[0], first + 8 * w.channels[1])
        self.device, self.scales = device, tuple(config.get("scales") or (scale,))
        self.studio_luma = config.get("studio_luma", False)
        room = _STRAIGHT if w.straight else _SECOND_PART
        side = math.isqrt(int(room / max(second, 1))) - 2 * (w.reach or 0)
        self._side = max(16, side)

    def _run(self, x: np.ndarray) -> np.ndarray:
        results = [self._one(image) for image in x]
        self._give_back()
        return results[0][None] if len(results) == 1 else np.stack(results)

    def _one(self, x: np.ndarray) -> np.ndarray:
        """(C, h, w) to (C, h * scale, w * scale)."""
        w = self._written
        if w.reach is None:
            return self._part({"in": x}, "out")
        maps = self._part({"in": x}, "cut")
        self._give_back()
        if w.sees_input:
            maps = np.concatenate([maps, x])

        straight = w.straight and min(maps.shape[1:]) > 4 * w.reach

        def run(tile: np.ndarray) -> np.ndarray:
            cut, seen = np.split(tile[0], [w.channels[1]])
            given = {"cut": cut, "in": seen} if w.sees_input else {"cut": cut}
            return self._part(given, "straight" if straight else "out")[None]

        rows, columns = (
            spans(length, self.scale, length * self.scale, w.reach, self._side)
            for length in maps.shape[1:]
        )
        bands = in_tiles(lambda low, high: maps[None, :, low:high], rows, columns, run)
        result = joined(bands, 2, x.shape[1] * self.scale)[0]
        if straight:
            self._mend_edges(maps, result)
        return result

    def _mend_edges(self, maps: np.ndarray, result: np.ndarray) -> None:
        """Fill the pixels along the edges, by the second part as the network has it."""
        reach, rows = self._written.reach, self._written.reach * self.scale
        ends = (slice(2 * reach), slice(rows)), (slice(-2 * reach, None), slice(-rows, None))
        for before, (strip, edge) in itertools.product((np.s_[:,], np.s_[:, :]), ends):
            made = self._part({"cut": maps[*before, strip]}, "out")
            result[*before, edge] = made[*before, edge]

    def _give_back(self) -> None:
        """Free what the pools keep for the next image: it would be of another size, and large."""
        for pool in self._pools:
            pool.clear()

    def _part(self, given: Mapping[str, np.ndarray], wanted: str) -> np.ndarray:
        extractor = self._net.create_extractor()
        for name, array in given.items():
            whole = np.ascontiguousarray(array)  # which a Mat does not keep alive
            # A copy: layers that work in place ask who else holds the memory; arrays cannot tell.
            extractor.input(name, self._mat(whole).clone())
        failed, mat = extractor.extract(wanted)
        if failed:
            raise MemoryError("ncnn: out of memory")
        result = np.array(mat)
        del mat, extractor  # what they hold goes back to the pools
        return result


def _import_ncnn() -> Any:
    """The module. Its threads wait asleep: spinning, beside other work, they take twice as long."""
    added = "OMP_WAIT_POLICY" not in os.environ
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # its OpenMP looks when it is loaded
    try:
        import ncnn
    except Exception as error:  # a broken package raises anything
        raise NotConvertible(f"it cannot be imported ({one_line(error)})") from error
    finally:
        if added:
            del os.environ["OMP_WAIT_POLICY"]
    return ncnn
