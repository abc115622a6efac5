"""What every back end is: a network behind one call on arrays, however it is computed."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


class NotConvertible(Exception):
    """The network cannot be turned into a program for another runtime; the reason is one line."""


class Backend:
    """A `superres.inference.Network` that is ready to be applied.

    A network for several scales keeps the one that was selected when the back end was made.

    Attributes:
        name: one of `superres.inference.backends.NAMES`.
        scale: output size over input size.
        receptive_radius: in input pixels; None where that is the whole image or not known.
        in_channels: that it takes.
        device: where it computes.
        notes: sentences for a person, such as why a faster back end was not taken.
    """

    name = ""
    device: Any = "cpu"

    def __init__(
        self, scale: int, receptive_radius: int | None, in_channels: int, bytes_per_pixel: float
    ) -> None:
        self.scale, self.receptive_radius = scale, receptive_radius
        self.in_channels, self._bytes_per_pixel = in_channels, bytes_per_pixel
        self.notes: list[str] = []
        self._lock = threading.Lock()

    @property
    def bytes_per_pixel(self) -> float:
        """Memory needed at the peak, per input pixel of one image."""
        return self._bytes_per_pixel

    def run(self, x: np.ndarray) -> np.ndarray:
        """(N, C, h, w) float32 in [0, 1] to (N, C, h * scale, w * scale), not clamped; one caller
        at a time."""
        with self._lock:
            return self._run(np.ascontiguousarray(x, np.float32))

    def _run(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The same of a tensor; the result is on the CPU."""
        import torch

        return torch.from_numpy(self.run(x.detach().to("cpu", torch.float32).numpy()))


def threads() -> int:
    """As many as PyTorch has, where it is loaded; else OMP_NUM_THREADS, or 0: the runtime's."""
    if torch := sys.modules.get("torch"):
        return torch.get_num_threads()
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() else 0


def one_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
