"""ONNX Runtime on the CPU."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from superres.errors import UserError
from superres.inference.backends.base import Program, one_line, threads

if TYPE_CHECKING:
    import torch


class OnnxRuntimeBackend(Program):
    """ONNX Runtime with as many threads as PyTorch would have."""

    name = "onnxruntime"
    digest = ""  # of the file, where it is a person's
    file = "model.onnx"

    @staticmethod
    def versions() -> tuple[str, ...]:
        """Of ONNX Runtime and the set of operations."""
        import onnxruntime

        from superres.inference.backends.conversion import OPSET

        return (onnxruntime.__version__, f"opset {OPSET}")

    @staticmethod
    def write(traced: Any, example: torch.Tensor, path: Path) -> None:
        """An ONNX file."""
        from superres.inference.backends.conversion import write_onnx

        write_onnx(traced, example, path)

    def load(self, path: Path) -> None:
        """An ONNX file with the input ``lq``."""
        self._session = _session(path)

    def _run(self, x: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"lq": x})[0]


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.log_severity_level = 4
    # Threads that spin between two calls would take the processor from everything else.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A plan of memory for one size is of no use for the next.
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def open_exported(path: Path) -> OnnxRuntimeBackend:
    """The network in a file that ``superres export`` wrote, without torch.

    Raises:
        UserError: no such file, no ONNX Runtime, or not such a network on floats.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        session = _session(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ImportError as error:
        raise UserError(
            f"{path}: needs onnxruntime: pip install 'superres[onnxruntime]'"
        ) from error
    except Exception as error:  # of C++
        raise UserError(f"{path}: ONNX Runtime cannot load it ({one_line(error)})") from error
    told = session.get_modelmeta().custom_metadata_map
    if told.get("type") == "uint8":
        raise UserError(
            f"{path}: a network on 8-bit samples, which leaves no room for 16 bits, tiles or "
            "self-ensemble; export it without --uint8"
        )
    try:
        scale, radius = int(told["scale"]), told["receptive_radius"]
        radius = None if radius == "whole picture" else int(radius)
        each, channels = float(told["bytes_per_pixel"]), session.get_inputs()[0].shape[1]
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path}: its metadata is not that of a network by this version of superres; write it "
            "by 'superres export onnx WEIGHTS FILE'"
        ) from error
    network = OnnxRuntimeBackend(scale, radius, channels, lambda: each)
    network._session, network.digest = session, digest
    return network
