"""Muon for convolutions, Adam for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from superres.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class ConvMuon(torch.optim.Optimizer):
    """Muon (Jordan et al., 2024) on convolutions as matrices of (out, in * k * k), else Adam.

    ``torch.optim.Muon`` takes matrices only. An update of a convolution has a root mean square of
    0.2 times the rate, about that of Adam's (Liu et al., 2025), so that both share one rate.

    Args:
        params: weights, or groups of them.
        lr: learning rate of both.
        momentum: of Muon, in Nesterov's form.
        betas, eps: of Adam.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "betas": tuple(betas), "eps": eps}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update all weights that have a gradient.

        Args:
            closure: computes the loss again, with gradients; its value is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    (self._muon if weight.ndim == 4 else self._adam)(weight, group)
        return loss

    def _muon(self, weight: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        buffer = state["momentum_buffer"].lerp_(weight.grad, 1 - group["momentum"])
        matrix = weight.grad.lerp(buffer, group["momentum"]).flatten(1)
        rate = 0.2 * group["lr"] * max(matrix.shape) ** 0.5
        weight.add_(orthogonalise(matrix).view(weight.shape), alpha=-rate)

    def _adam(self, weight: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
        state["step"] += 1
        (beta1, beta2), steps = group["betas"], float(state["step"])
        state["exp_avg"].lerp_(weight.grad, 1 - beta1)
        state["exp_avg_sq"].lerp_(weight.grad.square(), 1 - beta2)
        root = (state["exp_avg_sq"] / (1 - beta2**steps)).sqrt_().add_(group["eps"])
        weight.addcdiv_(state["exp_avg"], root, value=-group["lr"] / (1 - beta1**steps))


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return nearly the closest semi-orthogonal matrix: singular values come near 1.

    Newton-Schulz iterations of the fifth order with the coefficients of Jordan et al., which leave
    singular values between about 0.7 and 1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.T).float()
    x = x / x.norm().clamp_min(1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.T).to(matrix.dtype)
