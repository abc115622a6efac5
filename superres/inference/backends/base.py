"""What every back end is: a network behind one call, however it is computed."""

from __future__ import annotations

import copy

import torch
from torch import nn

from superres.inference.memory import bytes_per_pixel
from superres.inference.whole import radius_of


class Backend:
    """A network that is ready to be applied, as `superres.inference.upscale_tensor` wants it.

    Calling it maps (N, C, h, w) RGB float32 in [0, 1] to (N, C, h * scale, w * scale) float32 on
    the same device, not clamped, without gradients. A network for several scales keeps the one
    that was selected when the back end was made.

    Attributes:
        name: ``'torch'``, ``'onnxruntime'`` or ``'openvino'``.
        scale: output size over input size.
        receptive_radius: in input pixels; None where that is the whole picture or not known.
        device: where inputs are expected and outputs are.
        notes: sentences for a person, such as why a faster back end was not taken.
    """

    name: str

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.scale: int = model.scale
        self.receptive_radius = radius_of(model)
        self.device = device
        self.notes: list[str] = []
        self._bytes: dict[tuple[int, int], float] = {}
        self._shadow = copy.deepcopy(model).to("meta")

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to (N, C, h * scale, w * scale)."""
        raise NotImplementedError

    def bytes_per_pixel(self, x: torch.Tensor) -> float:
        """Memory needed at the peak, in bytes per input pixel of the whole batch.

        Counted on torch's meta device, where sizes are known and nothing is computed; the other
        runtimes hold the same tensors.
        """
        key = (x.shape[0], x.shape[1])
        if key not in self._bytes:
            with torch.no_grad():
                self._bytes[key] = bytes_per_pixel(self._shadow, x.to("meta"))
        return self._bytes[key]
