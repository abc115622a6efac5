"""The optimiser's wrapper, its arguments, and the schedules.

Mixed precision works on a GPU and on a CPU; nothing waits for a GPU.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS

from superres.engine.config.values import blame, to_plain
from superres.errors import UserError
from superres.registry import OPTIM_WRAPPERS

from .speed import FORMS, Fast, optimizer_options


class LastScalars(MessageHub):
    """mmengine's MessageHub that keeps the last value of each scalar only, in ``scalars``.

    The original appends every value to a numpy array that is copied on each append, which costs
    more per iteration the longer a run lasts.
    """

    def __init__(self, name: str = "superres") -> None:
        super().__init__(name)
        self.scalars: dict[str, Any] = {}

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        """Note the latest value."""
        self.scalars[key.removeprefix("train/")] = value


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """mmengine's OptimWrapper under ``torch.autocast``; weights and optimiser stay in float32.

    Args:
        dtype: 'bfloat16', 'float16', or 'float32' for no autocast at all.
        device_type: 'cuda' or 'cpu'.
        **kwargs: of :class:`mmengine.optim.OptimWrapper`.

    Raises:
        UserError: float16 on a CPU (its range needs a scaled loss).
    """

    def __init__(self, dtype: str, device_type: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if dtype == "float16" and device_type == "cpu":
            raise UserError("amp: float16 trains on a GPU only; on a CPU take bfloat16")
        self.device_type, self.dtype = device_type, DTYPES[dtype]
        self.scaler = torch.amp.GradScaler(device_type, enabled=dtype == "float16")

    def optim_context(self, model: torch.nn.Module) -> AbstractContextManager:
        """Autocast. When gradients are exchanged is the training step's business."""
        plain = self.dtype == torch.float32
        return nullcontext() if plain else torch.autocast(self.device_type, self.dtype)

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

    def _clip_grad(self) -> None:
        """Clip; the norm stays on the device until somebody shows it."""
        groups = self.optimizer.param_groups
        params = [p for g in groups for p in g["params"] if p.grad is not None]
        norm = self.clip_func(params, **self.clip_grad_kwargs) if params else None
        if norm is not None:  # clipping by value has none
            self.message_hub.update_scalar(f"train/{self.grad_name}", norm)

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's and, with autocast, the loss scale's."""
        state = super().state_dict()
        if self.dtype != torch.float32:
            state["loss_scaler"] = self.scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of this class or of a plain OptimWrapper, from this or another kind of device.

        How the optimiser computes (fused, capturable) is the present run's choice, not the file's.
        """
        state_dict = dict(state_dict)
        scaler = state_dict.pop("loss_scaler", None)
        if scaler and self.scaler.is_enabled():
            self.scaler.load_state_dict(scaler)
        groups = zip(state_dict["param_groups"], self.optimizer.param_groups)
        forms = [{**saved, **{f: own[f] for f in FORMS if f in own}} for saved, own in groups]
        super().load_state_dict({**state_dict, "param_groups": forms})
        fit_layout(self.optimizer)


def fit_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give the optimiser's state the memory layout of the weights; files hold plain layouts.

    Another order in memory would be computed with by other loops, and their last bits differ.
    """
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                state[key] = torch.empty_like(
                    parameter, dtype=value.dtype, requires_grad=False
                ).copy_(value)


def schedulers(cfg: Config, optim_wrapper: OptimWrapper) -> list[Any]:
    """The config's ``param_scheduler``.

    Raises:
        UserError: arguments that do not fit.
    """
    built = []
    for entry in cfg.get("param_scheduler") or []:
        entry = to_plain(entry)
        with blame(f"param_scheduler.{len(built)}", entry):
            built.append(PARAM_SCHEDULERS.build(entry, default_args={"optimizer": optim_wrapper}))
    return built


def optim_config(cfg: Config, fast: Fast, device: torch.device) -> dict[str, Any]:
    """``optim_wrapper`` in the form that the fast step takes.

    Raises:
        UserError: ``accumulative_counts``, mmengine's way of accumulation.
    """
    config = to_plain(cfg.optim_wrapper)
    if config.pop("accumulative_counts", 1) != 1:
        raise UserError("config: optim_wrapper.accumulative_counts: write accumulate = N instead")
    if config.get("type", "OptimWrapper") in ("OptimWrapper", "AutocastOptimWrapper"):
        own = {"dtype": fast.amp or "float32", "device_type": device.type}
        config = {**own, **config, "type": "AutocastOptimWrapper"}
    if isinstance(config.get("optimizer"), dict):  # a constructor of one's own may want several
        optimizer = config["optimizer"]
        known = OPTIMIZERS.get(optimizer.get("type"))
        optimizer.update(optimizer_options(known, optimizer, fast, device))
    return config
