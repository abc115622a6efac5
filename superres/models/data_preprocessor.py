"""From the integers of a batch to what a network takes, on the network's device."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor

from superres.registry import MODELS

_PEAK = {torch.uint8: 255.0, torch.uint16: 65535.0}


@MODELS.register_module()
class DataPreprocessor(BaseDataPreprocessor):
    """uint8 (or uint16) images (N, H, W, C) to float (N, C, H, W) in [0, 1].

    The integers travel to the device, a quarter of the bytes, and are cast there. Mean and range
    belong to the backbones. The result has channels_last strides, as the images lie in memory.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """``dict(inputs, gt, meta)`` to ``dict(inputs, data_samples=dict(gt, meta))``."""
        samples: dict[str, Any] = {"meta": data.get("meta")}
        if "gt" in data:
            samples["gt"] = self.to_float(data["gt"])
        return {"inputs": self.to_float(data["inputs"]), "data_samples": samples}

    def to_float(self, images: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) integers on any device to (N, C, H, W) in [0, 1] on this module's."""
        peak = _PEAK.get(images.dtype)
        images = images.to(self.device, non_blocking=self._non_blocking)
        images = images.permute(0, 3, 1, 2).float()
        return images if peak is None else images.div_(peak)
