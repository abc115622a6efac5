"""PyTorch, set up well."""

from __future__ import annotations

import torch
from torch import nn

from superres.errors import UserError
from superres.inference.backends.base import Backend
from superres.inference.backends.fold import folded

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
HALF_TOLERANCE = {"fp16": 1 / 255, "bf16": 4 / 255}
"""How far a result may be from float32's, in units of the range (tested on EDSR)."""


class TorchBackend(Backend):
    """Channels-last weights, constants folded, no gradients.

    Args:
        model: any network with ``scale``; it is copied.
        device: where to run.
        dtype: ``'fp32'``; ``'fp16'`` or ``'bf16'`` only for a CUDA device, where they are faster;
            results are then within `HALF_TOLERANCE` of float32's.
        compile: let ``torch.compile`` make kernels, for all sizes at once; without a compiler
            that works here it falls back to running as it is and says so in ``notes``.

    Raises:
        UserError: a type that does not exist, or that this device gains nothing from.
    """

    name = "torch"

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        dtype: str = "fp32",
        compile: bool = False,
    ) -> None:
        super().__init__(model, device)
        if dtype not in DTYPES:
            raise UserError(f"dtype {dtype!r} is not known; choose one of {', '.join(DTYPES)}")
        if dtype != "fp32" and device.type != "cuda":
            raise UserError(
                f"dtype {dtype!r} makes nothing faster on {device.type}; leave it out, or use a "
                "CUDA device"
            )
        self._dtype = DTYPES[dtype]
        self._plain = folded(model).to(device, self._dtype, memory_format=torch.channels_last)
        self._net = torch.compile(self._plain, dynamic=True) if compile else self._plain

    @torch.inference_mode()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
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
