"""Losses on pixel differences, each the mean over all elements times ``loss_weight``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from superres.registry import MODELS


@MODELS.register_module()
class L1Loss(nn.Module):
    """Mean absolute error of (N, C, H, W) ``pred`` and ``target`` in the same units."""

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.loss_weight * functional.l1_loss(pred, target)


@MODELS.register_module()
class MSELoss(nn.Module):
    """Mean squared error of (N, C, H, W) ``pred`` and ``target`` in the same units."""

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.loss_weight * functional.mse_loss(pred, target)


@MODELS.register_module()
class CharbonnierLoss(nn.Module):
    """Mean of ``sqrt((pred - target)^2 + eps^2)`` (Lai et al., LapSRN, 2017; ``eps`` = 1e-3)."""

    def __init__(self, loss_weight: float = 1.0, eps: float = 1e-3) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.eps = eps

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.loss_weight * torch.sqrt((pred - target) ** 2 + self.eps**2).mean()
