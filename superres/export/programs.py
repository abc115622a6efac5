"""Networks as programs: what is computed goes into the file with the weights.

Each function gives the files, suffix -> content, and a function that runs what is in them.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from superres.inference.backends.conversion import to_onnx
from superres.inference.backends.onnx_runtime import sealed, session
from superres.inference.backends.open_vino import core, infer, request

Run = Callable[[torch.Tensor], torch.Tensor]
Written = tuple[dict[str, bytes], Run]


class BytesInBytesOut(nn.Module):
    """A network on 8-bit images: divided by 255 before it; clamped and rounded half up after.

    Args:
        net: on floats in [0, 1].
        layout: ``'nchw'`` or ``'nhwc'``, of input and output.
    """

    def __init__(self, net: nn.Module, layout: str) -> None:
        super().__init__()
        self.net = net
        self.last = layout == "nhwc"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """uint8 images to uint8 images."""
        x = x.permute(0, 3, 1, 2) if self.last else x
        y = self.net(x.to(torch.float32) / 255)
        y = torch.floor(y.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
        return y.permute(0, 2, 3, 1) if self.last else y


def onnx(program: nn.Module, example: torch.Tensor, facts: Mapping[str, str]) -> Written:
    """An ONNX file."""
    import onnx as package

    model = package.load_model_from_string(to_onnx(program, example, facts["layout"] == "nhwc"))
    package.helper.set_model_props(model, dict(facts))
    model.producer_name = "superres"
    package.checker.check_model(model)
    data = sealed(model.SerializeToString())
    ready = session(data)
    return {".onnx": data}, lambda x: torch.from_numpy(ready.run(None, {"lq": x.numpy()})[0])


def openvino(program: nn.Module, example: torch.Tensor, facts: Mapping[str, str]) -> Written:
    """An OpenVINO file and its weights."""
    model = core().read_model(to_onnx(program, example, facts["layout"] == "nhwc"))
    import openvino as package

    for key, value in facts.items():
        model.set_rt_info(value, ["superres", key])
    with tempfile.TemporaryDirectory(prefix="superres-") as folder:
        package.save_model(model, f"{folder}/network.xml", compress_to_fp16=False)
        # The file that names the other comes last.
        files = {end: Path(folder, f"network{end}").read_bytes() for end in (".bin", ".xml")}
    ready = request(core().read_model(files[".xml"], files[".bin"]))
    return files, lambda x: torch.from_numpy(infer(ready, x.numpy()))


def torchscript(program: nn.Module, example: torch.Tensor, facts: Mapping[str, str]) -> Written:
    """A TorchScript file, ``facts`` in its extra file superres.json."""
    scripted = torch.jit.freeze(torch.jit.trace(program, example, check_trace=False).eval())
    data = io.BytesIO()
    torch.jit.save(scripted, data, _extra_files={"superres.json": json.dumps(dict(facts))})
    data.seek(0)
    return {".pt": data.getvalue()}, torch.jit.load(data)
