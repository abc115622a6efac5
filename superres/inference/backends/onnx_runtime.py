"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import torch

from superres.inference.backends import conversion
from superres.inference.backends.converted import ConvertedBackend


class OnnxRuntimeBackend(ConvertedBackend):
    """ONNX Runtime with as many threads as PyTorch has."""

    name = "onnxruntime"
    file = "model.onnx"

    def _versions(self) -> tuple[str, ...]:
        import onnxruntime

        return (onnxruntime.__version__, f"opset {conversion.OPSET}")

    def _write(self, traced: torch.jit.ScriptModule, example: torch.Tensor, path: Path) -> None:
        conversion.write_onnx(traced, example, path)

    def _load(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4
        # Threads that spin between two calls would take the processor from everything else.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A plan of memory for one size is of no use for the next.
        options.enable_mem_pattern = False
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        (y,) = self._session.run(None, {"lq": x.numpy()})
        return torch.from_numpy(y)
