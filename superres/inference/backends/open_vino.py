"""OpenVINO on the CPU."""

from __future__ import annotations

from pathlib import Path

import torch

from superres.inference.backends import conversion
from superres.inference.backends.converted import ConvertedBackend
from superres.inference.backends.openvino_library import import_openvino, infer, openvino_core

# Layers prepared for a size: the up to nine sizes of the tiles of one picture fit.
_PREPARED = 256


class OpenVinoBackend(ConvertedBackend):
    """OpenVINO in float32 with as many threads as PyTorch has."""

    name = "openvino"
    file = "model.xml"

    def _versions(self) -> tuple[str, ...]:
        return (import_openvino().__version__,)

    def _write(self, traced: torch.jit.ScriptModule, example: torch.Tensor, path: Path) -> None:
        conversion.write_openvino(traced, example, path)

    def _load(self, path: Path) -> None:
        settings = {
            # By default it computes in bfloat16 where the processor can.
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # What it prepares for each size of picture it keeps, 0.6 MiB of an EDSR-s, by default
            # for so many sizes that a folder of pictures is never done growing.
            "CPU_RUNTIME_CACHE_CAPACITY": _PREPARED,
        }
        core = openvino_core()
        self._compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
        self._request = self._compiled.create_infer_request()

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        openvino = import_openvino()
        channels = self._compiled.output(0).partial_shape[1]
        if channels.is_dynamic:
            infer(self._request, x.numpy())
            return torch.from_numpy(self._request.get_output_tensor(0).data.copy())
        # The result goes straight into a tensor of ours: no second copy of the large picture.
        size = (x.shape[2] * self.scale, x.shape[3] * self.scale)
        y = torch.empty((x.shape[0], channels.get_length(), *size))
        self._request.set_output_tensor(0, openvino.Tensor(y.numpy(), shared_memory=True))
        infer(self._request, x.numpy())
        return y
