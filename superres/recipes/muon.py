"""Muon for convolutions, Adam for everything else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from superres.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class ConvMuon(torch.optim.Adam):
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
        super().__init__(params, lr, tuple(betas), eps)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update all weights that have a gradient."""
        gradients: dict[Tensor, Tensor] = {}
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None and weight.ndim == 4:
                    self._muon(weight, group["lr"])
                    gradients[weight], weight.grad = weight.grad, None  # Adam leaves it alone
        super().step()
        for weight, gradient in gradients.items():
            weight.grad = gradient

    def _muon(self, weight: Tensor, lr: float) -> None:
        buffer = self.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight))
        buffer.lerp_(weight.grad, 1 - self.momentum)
        matrix = weight.grad.lerp(buffer, self.momentum).flatten(1)
        rate = 0.2 * lr * max(matrix.shape) ** 0.5
        weight.add_(orthogonalise(matrix).view(weight.shape), alpha=-rate)


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
