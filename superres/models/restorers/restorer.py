"""The restorer of single-scale networks."""

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
        loss: config of one loss; a list of such, or a dict of named ones, is summed.
        data_preprocessor: config; :class:`DataPreprocessor` by default.
        inference: arguments of :class:`superres.inference.Tiling` for ``predict``, such as
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
        built = isinstance(backbone, torch.nn.Module)
        self.backbone = backbone if built else with_scale(MODELS.build(backbone), backbone)
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
        """Computes the output that losses see, instead of the backbone itself, which it must
        equal: a compiled form of it. Plain calls and ``predict`` use the backbone."""

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return self.backbone.scale

    def forward(
        self, inputs: Tensor, data_samples: dict[str, Any] | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor]:
        """One of three things, as mmengine's models do.

        Args:
            inputs: (N, C, h, w) in [0, 1].
            data_samples: ``gt`` (N, C, H, W) in [0, 1] is needed for ``loss``.
            mode: 'loss' gives a dict of scalars, 'predict' the result for images of any size
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
        """The sum that is trained on, and what is logged: ``loss`` (that sum) and each part.

        As mmengine's, for losses that are scalars already, without its mean and sum of each.
        """
        if not all(isinstance(value, Tensor) and value.dim() == 0 for value in losses.values()):
            return super().parse_losses(losses)
        parts = [value for key, value in losses.items() if "loss" in key]
        total = parts[0]
        for value in parts[1:]:
            total = total + value
        return total, {"loss": total, **{k: v for k, v in losses.items() if k != "loss"}}

    def predict(self, inputs: Tensor, **options: Any) -> Tensor:
        """(N, C, h, w) in [0, 1] to (N, C, h * scale, w * scale), not clamped."""
        return self.predict_with_record(inputs, **options)[0]

    def predict_with_record(self, inputs: Tensor, **options: Any) -> tuple[Tensor, UpscaleRecord]:
        """:meth:`predict`, and how it was done (tiles, notes)."""
        return upscale_with_record(self.backbone, inputs, **{**self.inference, **options})
