"""OpenVINO on the CPU."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from superres.inference.network import Backend, threads

# What it prepares for each size of image it keeps, 0.6 MiB of an EDSR-s, by default for so many
# sizes that a folder of images is never done growing.
_SIZES_KEPT = 256


class OpenVinoBackend(Backend):
    """OpenVINO in float32 with as many threads as PyTorch would have.

    Args:
        program: an ONNX file with one input.
        *facts: of `Backend`.
    """

    name = "openvino"

    def __init__(self, program: bytes, *facts: Any) -> None:
        super().__init__(*facts)
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads()}
        settings["CPU_RUNTIME_CACHE_CAPACITY"] = _SIZES_KEPT
        self._request = request(core().read_model(program), **settings)

    def _run(self, x: np.ndarray) -> np.ndarray:
        return infer(self._request, x)


@functools.cache
def core() -> Any:
    """The process's one ``openvino.Core``, never given up.

    Its CPU plugin gives the thread that loads it a stack to handle signals on, and frees that stack
    when it goes. Where it goes in another thread (by garbage collection, say), the first thread
    keeps the address, and its next signal, Ctrl-C or a child that ends, kills the process.
    """
    # Importing it would send an event to its maker; it copes without its telemetry package.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino.Core()


def request(model: Any, **settings: Any) -> Any:
    """An ``openvino.InferRequest`` for a model, in float32: by default it takes bfloat16 where the
    processor can."""
    settings["INFERENCE_PRECISION_HINT"] = "f32"
    return core().compile_model(model, "CPU", settings).create_infer_request()


def infer(request: Any, pixels: np.ndarray) -> np.ndarray:
    """The result of an ``openvino.InferRequest`` for an array, its only input.

    Not by its own ``infer``, which with one thread (2026.4, found by a crash) says nothing when an
    operation fails and leaves the failed request at the head of a queue: the next network that is
    given the same queue runs that one first, and when it is gone, this ends the process.

    Raises:
        RuntimeError: an operation failed.
    """
    try:
        request.start_async([pixels], share_inputs=True)
    finally:  # also after a Ctrl-C: nothing may be freed that it works on
        request.wait()
    return request.get_output_tensor(0).data.copy()
