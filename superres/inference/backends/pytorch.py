"""PyTorch: the adapter that runs a network of it on arrays, and one set up well."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from superres.errors import UserError
from superres.inference.backends.base import Backend
from superres.inference.backends.fold import folded
from superres.inference.network import in_channels, radius_of
from superres.inference.tiles import PROBE, Tiler, Tiling, UpscaleRecord

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
HALF_TOLERANCE = {"fp16": 1 / 255, "bf16": 4 / 255}
"""How far a result may be from float32's, in units of the range (tested on EDSR)."""

# Convolution libraries hold reordered copies of their input and output beside the tensors that
# are counted here.
_WORKSPACE = 2.0

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
                self.see(leaf)
        return result

    def see(self, tensor: torch.Tensor) -> None:
        """Count a tensor until it is gone; views share their memory."""
        storage = tensor.untyped_storage()
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


@torch.no_grad()
def bytes_per_pixel(net: Callable, x: torch.Tensor) -> float:
    """Memory that ``net`` needs at its peak, in bytes per input pixel of one image.

    Measured once per network by running it on ``x``, a small image of zeros, and counting live
    tensors, so it holds for any network made of torch operations.
    """
    key = (x.shape[1], x.dtype, x.device, net.scale)
    try:
        known = _known.setdefault(net, {})
    except TypeError:  # not hashable, or no weak references: measure each time
        known = {}
    if key not in known:
        with LiveBytes() as live:
            net(x)
        known[key] = _WORKSPACE * live.peak / (x.shape[2] * x.shape[3])
    return known[key]


def facts(model: nn.Module) -> tuple[int, int | None, int, Callable[[], float]]:
    """What `Backend` asks of a network; it keeps the memory on torch's meta device.

    There sizes are known and nothing is computed; other runtimes hold the same tensors. A network
    that needs numbers, or has tensors outside its state dict, is run where it is.
    """
    shadow, channels = copy.deepcopy(model).to("meta"), in_channels(model)
    probe = torch.zeros(1, channels, PROBE, PROBE, device="meta")

    def memory() -> float:
        return bytes_per_pixel(shadow, probe)

    if not type(model).__module__.startswith("superres."):
        try:
            memory()
        except (RuntimeError, TypeError):  # now, so that a back end need not hold the network
            weights = next(model.parameters(), torch.zeros(()))
            found = bytes_per_pixel(model, torch.zeros_like(probe, device=weights.device))
            return model.scale, radius_of(model), channels, lambda: found
    return model.scale, radius_of(model), channels, memory


class TorchNetwork(Backend):
    """Any callable on tensors with ``scale``, as it is: tiles go to its device and come back.

    Args:
        net: put it in eval mode first.
        channels: that it takes.
        device: where inputs go; None is where its parameters are, else the CPU.
        dtype: of its inputs.
    """

    name = "torch"

    def __init__(
        self,
        net: Callable[[torch.Tensor], torch.Tensor],
        channels: int = 3,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        parameter = next(net.parameters(), None) if isinstance(net, nn.Module) else None
        self.device = parameter.device if parameter is not None else device or torch.device("cpu")
        self._net, self._dtype = net, dtype

        def measure() -> float:
            shape = (1, channels, PROBE, PROBE)
            return bytes_per_pixel(net, torch.zeros(shape, device=self.device, dtype=dtype))

        super().__init__(net.scale, radius_of(net), channels, measure)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) on ``device`` to (N, C, h * scale, w * scale)."""
        return self._net(x)

    @torch.no_grad()
    def run(self, x: np.ndarray) -> np.ndarray:
        """(N, C, h, w) to (N, C, h * scale, w * scale), without a copy on the CPU."""
        x = torch.from_numpy(np.require(x, requirements="W"))  # PyTorch warns of read-only memory
        y = self(x.to(self.device, self._dtype))
        return (y if y.dtype == torch.float64 else y.float()).detach().cpu().numpy()


def _has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 (AVX-512 BF16, AMX, or Arm's)."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class TorchBackend(TorchNetwork):
    """Channels-last weights, constants folded, no gradients.

    Args:
        model: any network with ``scale``; it is copied.
        device: where to run.
        dtype: ``'fp32'``; ``'fp16'`` or ``'bf16'`` where they are faster: on a CUDA device, and
            ``'bf16'`` on a processor that has it; results are then within `HALF_TOLERANCE` of
            float32's.
        compile: let ``torch.compile`` make kernels, for all sizes at once; without a compiler
            that works here it falls back to running as it is and says so in ``notes``.

    Raises:
        UserError: a type that does not exist, or that this device gains nothing from.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        dtype: str = "fp32",
        compile: bool = False,
    ) -> None:
        if dtype not in DTYPES:
            raise UserError(f"dtype {dtype!r} is not known; choose one of {', '.join(DTYPES)}")
        bfloat16 = dtype == "bf16" and device.type == "cpu" and _has_bfloat16()
        if dtype != "fp32" and device.type != "cuda" and not bfloat16:
            raise UserError(
                f"dtype {dtype!r} makes nothing faster on this {device.type}; leave it out, or use "
                "a CUDA device"
            )
        Backend.__init__(self, *facts(model))
        self.device, self._dtype = device, DTYPES[dtype]
        self._plain = folded(model).to(device, self._dtype, memory_format=torch.channels_last)
        self._net = torch.compile(self._plain, dynamic=True) if compile else self._plain

    @torch.inference_mode()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) on ``device`` to (N, C, h * scale, w * scale) float32."""
        x = x.to(self._dtype, memory_format=torch.channels_last)
        try:
            y = self._net(x)
        except Exception as error:
            if self._net is self._plain or isinstance(error, torch.OutOfMemoryError):
                raise
            reason = str(error).strip().splitlines()[0][:120] if str(error) else type(error)
            self.notes.append(f"torch.compile does not work here ({reason}): running without it")
            self._net = self._plain
            y = self._plain(x)
        return y.float()


def upscale_tensor(net: Any, x: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
    """Apply a network to images of any size.

    Args:
        net: any callable with ``scale``, and ``receptive_radius`` where it is known;
            put it in eval mode first.
        x: (N, C, h, w) float, in the range the network takes, on any device.
        *args, **options: of :class:`superres.inference.Tiling`: ``tile``, ``overlap``,
            ``self_ensemble``, ``memory_budget``.

    Returns:
        (N, C, h * scale, w * scale) as ``x`` is, unclamped, without gradients.

    Raises:
        UserError: a bad input or option, or not enough memory whatever the tiles.
    """
    return upscale_with_record(net, x, *args, **options)[0]


def upscale_with_record(
    net: Any, x: torch.Tensor, *args: Any, **options: Any
) -> tuple[torch.Tensor, UpscaleRecord]:
    """:func:`upscale_tensor`, and how it was done."""
    if x.ndim != 4 or 0 in x.shape:
        raise UserError(
            f"expected a tensor (N, C, H, W) with at least one pixel, found {tuple(x.shape)}"
        )
    if not x.is_floating_point():
        raise UserError(f"expected a float tensor in [0, 1], found {x.dtype}: divide by 255")
    tiling = Tiling(*args, **options)
    network = net if hasattr(net, "run") else TorchNetwork(net, x.shape[1], x.device, x.dtype)
    tiler = Tiler(network, tiling)
    array = (x if x.dtype == torch.float64 else x.float()).detach().cpu().numpy()
    return torch.from_numpy(tiler.array(array)).to(x.device, x.dtype), tiler.record
