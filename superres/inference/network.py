"""What computes a network: `Backend`, one call on arrays, and what can be told about a network."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from superres.errors import UserError

if TYPE_CHECKING:
    import torch


class NotConvertible(Exception):
    """The network cannot be turned into a program for another runtime; the reason is one line."""


class Backend:
    """A network that is ready to be applied to arrays; the back ends are such.

    A network for several scales keeps the one that was selected when the back end was made.

    Attributes:
        name: one of `superres.inference.backends.NAMES`.
        scale: output size over input size.
        receptive_radius: how far an output pixel looks, in input pixels; None where that is the
            whole image or not known.
        in_channels: that it takes.
        bytes_per_pixel: memory that its work takes at the peak, per input pixel of one image.
        device: where it computes, ``'cpu'`` or ``'cuda:0'`` (also as a `torch.device`).
        notes: sentences for a person, such as why a faster back end was not taken.

    Args: scale, receptive radius, channels, and bytes per pixel where they are known.
    """

    name = ""
    device: Any = "cpu"
    bytes_per_pixel: float

    def __init__(self, scale: int, radius: int | None, channels: int, memory: float = 0) -> None:
        self.scale, self.receptive_radius, self.in_channels = scale, radius, channels
        if memory:
            self.bytes_per_pixel = memory
        self.notes: list[str] = []
        self._lock = threading.Lock()

    def run(self, x: np.ndarray) -> np.ndarray:
        """(N, C, h, w) floats in [0, 1] to (N, C, h * scale, w * scale), not clamped; one caller at
        a time.

        Raises:
            UserError: the network's result is of another size.
        """
        with self._lock:
            y = self._run(np.ascontiguousarray(x))
        expected = (x.shape[2] * self.scale, x.shape[3] * self.scale)
        if y.ndim != 4 or y.shape[2:] != expected:
            given, wanted = (f"{width}x{height}" for height, width in (x.shape[2:], expected))
            fault = f"an input of {given} should give {wanted} (width x height), not {y.shape}"
            raise UserError(f"the network's scale is {self.scale}, so {fault}")
        return y

    def _run(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The same of a tensor; the result is on the CPU."""
        import torch

        return torch.from_numpy(self.run(x.detach().to("cpu", torch.float32).numpy()))


def in_channels(net: object) -> int:
    """How many channels a network takes, as far as it can be told; else 3."""
    stated = [getattr(net, name, None) for name in ("in_channels", "input_channels")]
    stated.append(getattr(net, "superres_config", {}).get("in_channels"))
    if numbers := [number for number in stated if isinstance(number, int)]:
        return numbers[0]
    layers = getattr(net, "modules", list)()
    first = next((layer for layer in layers if type(layer).__name__ == "Conv2d"), None)
    # A layer behind a pixel unshuffle, or the like, tells nothing.
    return 1 if first is not None and first.in_channels == 1 else 3


def threads() -> int:
    """As many as PyTorch has, where it is loaded; else OMP_NUM_THREADS, or 0: the runtime's."""
    if torch := sys.modules.get("torch"):
        return torch.get_num_threads()
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() else 0


def one_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
