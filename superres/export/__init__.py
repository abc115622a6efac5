"""Networks as files for other programs: ONNX, TorchScript, OpenVINO, safetensors, spandrel."""

from superres.export.request import ENDINGS, TARGETS
from superres.export.run import Exported, export

__all__ = ["ENDINGS", "TARGETS", "Exported", "export"]
