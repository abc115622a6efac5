"""Networks as programs: what is computed goes into the file with the weights."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from superres.inference.backends.conversion import write_onnx, write_openvino
from superres.inference.backends.openvino_library import infer, openvino_core

Run = Callable[[torch.Tensor], torch.Tensor]


class BytesInBytesOut(nn.Module):
    """A network on 8-bit pictures: divided by 255 before it; clamped and rounded half up after.

    Args:
        net: on floats in [0, 1].
        layout: ``'nchw'`` or ``'nhwc'``, of input and output.
    """

    def __init__(self, net: nn.Module, layout: str) -> None:
        super().__init__()
        self.net = net
        self.last = layout == "nhwc"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """uint8 pictures to uint8 pictures."""
        x = x.permute(0, 3, 1, 2) if self.last else x
        y = self.net(x.to(torch.float32) / 255)
        y = torch.floor(y.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
        return y.permute(0, 2, 3, 1) if self.last else y


def onnx(program: nn.Module, example: torch.Tensor, path: Path, facts: Mapping[str, str]) -> Run:
    """Write an ONNX file; gives a function that runs it in ONNX Runtime."""
    import onnx as package
    import onnxruntime

    write_onnx(program, example, path)
    model = package.load(str(path))
    for key, value in facts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    model.producer_name = "superres"
    package.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"lq": x.numpy()})[0])


def openvino(
    program: nn.Module, example: torch.Tensor, path: Path, facts: Mapping[str, str]
) -> Run:
    """Write an OpenVINO file and its weights; gives a function that runs it."""
    write_openvino(program, example, path, facts)
    core = openvino_core()
    compiled = core.compile_model(
        core.read_model(str(path)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    request = compiled.create_infer_request()

    def run(x: torch.Tensor) -> torch.Tensor:
        infer(request, x.numpy())
        return torch.from_numpy(request.get_output_tensor(0).data.copy())

    return run


def torchscript(
    program: nn.Module, example: torch.Tensor, path: Path, facts: Mapping[str, str]
) -> Run:
    """Write a TorchScript file (``facts`` in its extra file superres.json)."""
    scripted = torch.jit.freeze(torch.jit.trace(program, example, check_trace=False).eval())
    # Into memory first: where the disk is full, torch's writer ends the process.
    data = io.BytesIO()
    torch.jit.save(scripted, data, _extra_files={"superres.json": json.dumps(dict(facts))})
    path.write_bytes(data.getvalue())
    return torch.jit.load(str(path))
