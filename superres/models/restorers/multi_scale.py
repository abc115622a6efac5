"""The restorer of networks with a branch per scale (MDSR)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from superres.errors import UserError
from superres.models.restorers.restorer import Restorer
from superres.registry import MODELS


@MODELS.register_module()
class MultiScaleRestorer(Restorer):
    """A backbone for several scales; each training batch is of one of them.

    The scale of a batch is read off its sizes. Only that scale's branch takes part in the step,
    so the other branches get no gradient: with ``zero_grad(set_to_none=True)``, torch's default,
    the optimiser leaves their weights and its state for them as they are ("only the modules of the
    selected scale are updated", Lim et al., 2017). EDSR-PyTorch's code, written for older
    versions of torch, keeps zero gradients instead, by which Adam's momentum goes on moving them.

    Args: see :class:`Restorer`; the backbone has ``scales`` and ``set_scale``.

    Raises:
        UserError: a backbone for one scale only, a batch of a scale that it does not have.
    """

    # Tells distributed training that a step leaves parameters out, others in each step.
    find_unused_parameters = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not hasattr(self.backbone, "set_scale"):
            raise UserError(
                f"{type(self.backbone).__name__} is for one scale at a time: use type='Restorer'"
            )

    @property
    def scales(self) -> tuple[int, ...]:
        """All scales of the network."""
        return tuple(self.backbone.scales)

    def set_scale(self, scale: int) -> None:
        """Select the scale of ``predict`` and ``tensor``; UserError if there is no such."""
        self.backbone.set_scale(scale)

    def forward(
        self, inputs: Tensor, data_samples: dict[str, Any] | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor]:
        """See :meth:`Restorer.forward`; ``loss`` also selects the scale of the batch."""
        if mode == "loss":
            self.set_scale(data_samples["gt"].shape[-1] // inputs.shape[-1])
        return super().forward(inputs, data_samples, mode)
