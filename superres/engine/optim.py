"""Mixed precision that works on a GPU and on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper

from superres.errors import UserError
from superres.registry import OPTIM_WRAPPERS

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """mmengine's OptimWrapper under ``torch.autocast``; weights and optimiser stay in float32.

    Args:
        dtype: 'auto' (bfloat16, or float16 on GPUs that lack it), 'bfloat16' or 'float16'.
        device_type: 'cuda' or 'cpu'; None takes the one at hand.
        **kwargs: of :class:`mmengine.optim.OptimWrapper`.

    Raises:
        UserError: an unknown ``dtype``, or float16 on a CPU (its range needs a scaled loss).
    """

    def __init__(self, dtype: str = "auto", device_type: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.device_type = device_type or ("cuda" if torch.cuda.is_available() else "cpu")
        if dtype == "auto":
            bf16 = self.device_type == "cpu" or torch.cuda.is_bf16_supported()
            dtype = "bfloat16" if bf16 else "float16"
        if dtype not in DTYPES:
            raise UserError(f"amp: dtype = {dtype!r} must be auto, bfloat16 or float16")
        if dtype == "float16" and self.device_type == "cpu":
            raise UserError("amp: float16 trains on a GPU only; on a CPU take bfloat16")
        self.dtype = DTYPES[dtype]
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=dtype == "float16")

    @contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        """Autocast, and no gradient exchange in the middle of an accumulation."""
        with super().optim_context(model), torch.autocast(self.device_type, self.dtype):
            yield

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """Backpropagate the (scaled) loss."""
        self.scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        """Clip if asked, then update; a step with overflown float16 gradients is left out."""
        if self.clip_grad_kwargs:
            self.scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's, and the loss scale's."""
        return {**super().state_dict(), "loss_scaler": self.scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of this class or of a plain OptimWrapper."""
        state_dict = dict(state_dict)
        scaler = state_dict.pop("loss_scaler", None)
        if scaler:
            self.scaler.load_state_dict(scaler)
        super().load_state_dict(state_dict)
