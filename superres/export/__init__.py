"""Networks as files for other programs: ONNX, TorchScript, OpenVINO, safetensors, spandrel."""

from superres.export.export_network import ENDINGS, TARGETS, Exported, export

__all__ = ["ENDINGS", "TARGETS", "Exported", "export"]
