"""Optimiser state shared out over the ranks, for models that outgrow a card."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import distributed
from torch.distributed.optim import ZeroRedundancyOptimizer

from superres.engine.distributed import launch
from superres.errors import UserError
from superres.registry import OPTIMIZERS


class _Sharded(ZeroRedundancyOptimizer):
    """torch's optimiser, whose state dict is complete on rank 0 and that of a plain one."""

    def state_dict(self) -> dict[str, Any]:
        """All ranks call it; the parts come together on rank 0, other ranks get {}."""
        self.consolidate_state_dict(to=0)
        return super().state_dict() if launch.rank() == 0 else {}


@OPTIMIZERS.register_module()
def ZeroOptimizer(
    params: Iterable[Any], optimizer_type: str = "Adam", **kwargs: Any
) -> torch.optim.Optimizer:
    """ZeRO stage 1 (Rajbhandari et al., 2020): each rank keeps the state of a share of the weights.

    Adam keeps 8 bytes a weight; over N ranks 8 / N remain, for one more broadcast of the weights
    per update. The checkpoint holds the whole state in the form of the plain optimiser, so that a
    run can go on with another number of ranks, with or without this.

    Args:
        params: as of any optimiser.
        optimizer_type: a class of torch.optim.
        **kwargs: of that class, such as ``lr``.

    Returns:
        The plain optimiser where there is one process only.

    Raises:
        UserError: torch.optim has no such class.
    """
    cls = getattr(torch.optim, str(optimizer_type), None)
    if not (isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)):
        raise UserError(
            f"config: optim_wrapper.optimizer.optimizer_type = {optimizer_type!r} must be a class "
            "of torch.optim, e.g. 'Adam'"
        )
    if not distributed.is_initialized() or launch.world_size() == 1:
        return cls(params, **kwargs)
    return _Sharded(list(params), cls, **kwargs)
