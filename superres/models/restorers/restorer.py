"""A single-scale network with its loss and its way of inference, as one mmengine model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from superres.inference import UpscaleRecord
from superres.inference.backends.pytorch import upscale_with_record
from superres.models.layers.backbone import with_scale
from superres.registry import MODELS


@MODELS.register_module()
class Restorer(BaseModel):
    """A backbone, the loss it is trained with, and how it is applied.

    Args:
        backbone: a network, or the config of one, that maps (N, C, h, w) in [0, 1] to (N, C,
            h * scale, w * scale).
        loss: config of one loss, or several that are summed and logged apart: a list (``loss_1``,
            ``loss_2``, ...) or a dict from names (``loss_NAME``). L1Loss by default.
        data_preprocessor: config; :class:`DataPreprocessor` by default.
        inference: arguments of :class:`superres.inference.Tiling` that ``predict`` uses, such as
            ``dict(tile='edsr-chop', self_ensemble=True)``.
    """

    def __init__(
        self,
        backbone: dict[str, Any] | torch.nn.Module,
        loss: dict[str, Any] | list[dict[str, Any]] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        inference: dict[str, Any] | None = None,
    ) -> None:
        preprocessor = data_preprocessor or {"type": "DataPreprocessor"}
        if isinstance(preprocessor, dict):
            preprocessor = MODELS.build(preprocessor)
        super().__init__(data_preprocessor=preprocessor)
        is_network = isinstance(backbone, torch.nn.Module)
        self.backbone = backbone if is_network else with_scale(MODELS.build(backbone), backbone)
        losses = loss or {"type": "L1Loss"}
        if isinstance(losses, list | tuple):
            losses = {str(i): one for i, one in enumerate(losses, start=1)}
        named = {"loss": losses} if "type" in losses else losses
        self.losses = torch.nn.ModuleDict(
            {
                key if key.startswith("loss") else f"loss_{key}": MODELS.build(value)
                for key, value in named.items()
            }
        )
        self.inference = dict(inference or {})
        self.run_backbone: Callable[[Tensor], Tensor] | None = None
        """A compiled form of the backbone, or None: used for losses only, with equal output. Plain
        calls and ``predict`` use the backbone itself."""

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return self.backbone.scale

    def forward(
        self, inputs: Tensor, data_samples: dict[str, Any] | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor]:
        """Return losses, an upscaled image or the plain output, as mmengine's models do.

        Args:
            inputs: (N, C, h, w) in [0, 1].
            data_samples: with ``gt``, (N, C, h * scale, w * scale) in [0, 1], for 'loss'.
            mode: 'loss' returns a dict of scalars, 'predict' the result for images of any size
                (tiles, self-ensemble), 'tensor' the backbone's plain output.
        """
        if mode == "tensor":
            return self.backbone(inputs)
        if mode == "predict":
            return self.predict(inputs)
        if mode == "loss":
            output = (self.run_backbone or self.backbone)(inputs)
            return {key: loss(output, data_samples["gt"]) for key, loss in self.losses.items()}
        raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', not {mode!r}")

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum that is trained on, and the values to log: it (``loss``) and each part.

        Like mmengine's, which takes the mean of each loss first: scalars do not need that.
        """
        if not all(isinstance(value, Tensor) and value.dim() == 0 for value in losses.values()):
            return super().parse_losses(losses)
        # By mmengine's rule other names are logged, not trained on.
        parts = [value for key, value in losses.items() if "loss" in key]
        total = parts[0]
        for value in parts[1:]:
            total = total + value
        return total, {"loss": total, **{k: v for k, v in losses.items() if k != "loss"}}

    def predict(self, inputs: Tensor, **options: Any) -> Tensor:
        """Upscale (N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped.

        Args:
            inputs: images of any size.
            **options: arguments of `Tiling` that replace those of ``inference``.
        """
        return self.predict_with_record(inputs, **options)[0]

    def predict_with_record(self, inputs: Tensor, **options: Any) -> tuple[Tensor, UpscaleRecord]:
        """The result of :meth:`predict`, and a record of how it was made (tiles, notes)."""
        return upscale_with_record(self.backbone, inputs, **{**self.inference, **options})
