"""OpenVINO on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from superres.inference.backends.base import Program, threads
from superres.inference.backends.openvino_library import import_openvino, infer, openvino_core

# Layers prepared for a size: the up to nine sizes of the tiles of one picture fit.
_PREPARED = 256

if TYPE_CHECKING:
    import torch


class OpenVinoBackend(Program):
    """OpenVINO in float32 with as many threads as PyTorch would have."""

    name = "openvino"
    file = "model.xml"

    @staticmethod
    def versions() -> tuple[str, ...]:
        """Of OpenVINO."""
        return (import_openvino().__version__,)

    @staticmethod
    def write(traced: Any, example: torch.Tensor, path: Path) -> None:
        """An OpenVINO file and its weights."""
        from superres.inference.backends.conversion import write_openvino

        write_openvino(traced, example, path)

    def load(self, path: Path) -> None:
        """An OpenVINO file with one input."""
        settings = {
            # By default it computes in bfloat16 where the processor can.
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads(),
            # What it prepares for each size of picture it keeps, 0.6 MiB of an EDSR-s, by default
            # for so many sizes that a folder of pictures is never done growing.
            "CPU_RUNTIME_CACHE_CAPACITY": _PREPARED,
        }
        core = openvino_core()
        self._compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
        self._request = self._compiled.create_infer_request()

    def _run(self, x: np.ndarray) -> np.ndarray:
        channels = self._compiled.output(0).partial_shape[1]
        if channels.is_dynamic:
            infer(self._request, x)
            return self._request.get_output_tensor(0).data.copy()
        # The result goes straight into an array of ours: no second copy of the large image.
        size = (x.shape[2] * self.scale, x.shape[3] * self.scale)
        y = np.empty((x.shape[0], channels.get_length(), *size), np.float32)
        tensor = import_openvino().Tensor(y, shared_memory=True)
        self._request.set_output_tensor(0, tensor)
        infer(self._request, x)
        return y
