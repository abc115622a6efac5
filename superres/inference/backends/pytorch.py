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
from superres.inference.luma import on_luma
from superres.inference.network import Backend, in_channels
from superres.inference.tiles import PROBE, Tiler, Tiling, UpscaleRecord

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Half precision is within 1/255 (fp16) or 4/255 (bf16) of float32's results, tested on EDSR."""

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


def _peak(net: Callable, x: torch.Tensor, device: torch.device) -> int:
    """Bytes alive at most, on torch's meta device or, where that cannot be, on ``device``."""
    try:
        state = {k: t.to("meta") for k, t in (*net.named_parameters(), *net.named_buffers())}
        with LiveBytes() as live:
            # Tied, a module that occurs twice (an activation) would stay on the meta device.
            torch.func.functional_call(net, state, x.to("meta"), tie_weights=False)
    except Exception:  # no module; or it looks at numbers, or has tensors outside of its state
        with LiveBytes() as live:
            net(x.to(device))
    return live.peak


def ready(model: nn.Module) -> nn.Module:
    """A copy on the CPU, in evaluation mode, its residual scales within the weights."""
    net = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
    if hasattr(net, "fold_res_scale"):
        net.fold_res_scale()
    return net


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
        super().__init__(net.scale, getattr(net, "receptive_radius", None), channels)
        parameter = next(net.parameters(), None) if isinstance(net, nn.Module) else None
        self.device = parameter.device if parameter is not None else device or torch.device("cpu")
        self._net, self._dtype = net, dtype

    @property
    @torch.no_grad()
    def bytes_per_pixel(self) -> float:
        """Memory needed at the peak, in bytes per input pixel of one image.

        Measured once per network by running it on a small image of zeros, and counting live
        tensors, so it holds for any network made of torch operations. It is run on torch's meta
        device, where sizes are known and nothing is computed; where that cannot be, on ``device``.
        """
        net, key = self._net, (self.in_channels, self._dtype, self.scale)
        known = _known.setdefault(net, {})
        with self._lock:  # the weights are on the meta device meanwhile
            if key not in known:
                x = torch.zeros((1, self.in_channels, PROBE, PROBE), dtype=self._dtype)
                known[key] = _WORKSPACE * _peak(net, x, self.device) / PROBE**2
        return known[key]

    @torch.no_grad()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to (N, C, h * scale, w * scale) on ``device``, float32 or float64."""
        y = self._net(x.to(self.device, self._dtype))
        return y if y.dtype == torch.float64 else y.float()

    def _run(self, x: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(np.require(x, requirements="W"))  # PyTorch warns of read-only memory
        return self(x).cpu().numpy()


def prepared(model: nn.Module, device: torch.device, dtype: str = "fp32") -> TorchNetwork:
    """A copy of a network for upscaling: channels-last weights, residual scales folded.

    Args:
        model: any network with ``scale``.
        device: where to run.
        dtype: of `DTYPES`: half precision where it is faster, on a CUDA device, and ``'bf16'``
            on a processor that has it.

    Raises:
        UserError: a type that does not exist, or that this device gains nothing from.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r} is not known; choose one of {', '.join(DTYPES)}")
    bfloat16 = dtype == "bf16" and device.type == "cpu" and has_bfloat16()
    if dtype != "fp32" and device.type != "cuda" and not bfloat16:
        fault = f"dtype {dtype!r} makes nothing faster on this {device.type}"
        raise UserError(f"{fault}; leave it out, or use a CUDA device")
    net = ready(model).to(device, DTYPES[dtype], memory_format=torch.channels_last)
    return TorchNetwork(net, in_channels(model), device, DTYPES[dtype])


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 (AVX-512 BF16, AMX, or Arm's)."""
    facts_ = getattr(torch.cpu, "get_capabilities", dict)()
    if any(facts_.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")):
        return True
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in tests)


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
    if x.ndim != 4 or 0 in x.shape or not x.is_floating_point():
        wanted = "floats in [0, 1] (divide by 255), (N, C, H, W) with at least one pixel"
        raise UserError(f"expected a tensor of {wanted}, found {x.dtype} {tuple(x.shape)}")
    network = net
    if not hasattr(net, "run"):
        own = 1 if getattr(net, "studio_luma", False) else x.shape[1]
        network = on_luma(TorchNetwork(net, own, x.device, x.dtype), net, x.shape[1])
    tiler = Tiler(network, Tiling(*args, **options))
    array = (x if x.dtype == torch.float64 else x.float()).detach().cpu().numpy()
    return torch.from_numpy(tiler.array(array)).to(x.device, x.dtype), tiler.record
