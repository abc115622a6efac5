"""ONNX Runtime on the CPU."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from superres.errors import UserError
from superres.inference.network import Backend, one_line, threads

_SEAL = b"\x72\x4a\x0a\x06sha256\x12\x40"
"""How protobuf begins an entry of an ONNX file's metadata with 64 digits."""


class OnnxRuntimeBackend(Backend):
    """ONNX Runtime with as many threads as PyTorch would have.

    Args:
        program: an ONNX file with the input ``lq``, or what `session` made of one.
        *facts: of `Backend`.
    """

    name = "onnxruntime"

    def __init__(self, program: Any, *facts: Any) -> None:
        super().__init__(*facts)
        self._session = session(program) if isinstance(program, bytes) else program

    def _run(self, x: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"lq": x})[0]


def session(data: bytes) -> Any:
    """An ONNX file, ready to be run."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.log_severity_level = 4
    # Threads that spin between two calls would take the processor from everything else.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A plan of memory for one size is of no use for the next.
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def sealed(data: bytes) -> bytes:
    """An ONNX file, with the SHA-256 of all before it as the last entry of its metadata."""
    return data + _SEAL + hashlib.sha256(data).hexdigest().encode()


def open_exported(path: Path) -> OnnxRuntimeBackend:
    """The network in a file that ``superres export`` wrote, without torch.

    Raises:
        UserError: no such file, no ONNX Runtime, or not such a network on floats.
    """
    try:
        data = path.read_bytes()
        if _SEAL in data and sealed(data.rpartition(_SEAL)[0]) != data:
            raise ValueError("its checksum is wrong: damaged, export it again")
        opened = session(data)
        facts_ = opened.get_modelmeta().custom_metadata_map
        if facts_["type"] != "float32":
            raise ValueError("it works on 8-bit samples; export it without --uint8")
        reach = facts_["receptive_radius"]
        radius = None if reach == "whole picture" else int(reach)
        facts = int(facts_["scale"]), radius, opened.get_inputs()[0].shape[1]
        network = OnnxRuntimeBackend(opened, *facts, float(facts_["bytes_per_pixel"]))
    except ImportError as error:
        needs = "needs onnxruntime: pip install 'superres[onnxruntime]'"
        raise UserError(f"{path}: {needs}") from error
    except Exception as error:  # no such file, no ONNX, nothing of ours in its metadata
        fault = "cannot be read as a network that 'superres export onnx WEIGHTS FILE' wrote"
        raise UserError(f"{path}: {fault} ({one_line(error)})") from error
    network.studio_luma = facts_["colour"] == "Y of YCbCr"
    network.digest = hashlib.sha256(data).hexdigest()[:16]
    return network
