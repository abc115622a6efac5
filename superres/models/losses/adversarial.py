"""Adversarial losses on a discriminator's logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from superres.registry import MODELS


@MODELS.register_module()
class VanillaGAN(nn.Module):
    """Cross-entropy (Goodfellow et al., 2014), in the form that SRGAN and Real-ESRGAN train with.

    Args:
        loss_weight: of the generator's loss; the discriminator's is not weighted.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def generator(self, fake: Tensor, real: Tensor) -> Tensor:
        """What the generator is trained on; ``real`` has no gradient."""
        return self.loss_weight * _entropy(fake, True)

    def discriminator(self, fake: Tensor, real: Tensor) -> Tensor:
        """What the discriminator is trained on."""
        return _entropy(real, True) + _entropy(fake, False)


@MODELS.register_module()
class RelativisticGAN(VanillaGAN):
    """Relativistic average (Jolicoeur-Martineau, 2018), as ESRGAN trains: both halves, averaged."""

    def generator(self, fake: Tensor, real: Tensor) -> Tensor:
        """How far fakes are from looking more real than the average real patch, and vice versa."""
        more = _entropy(fake - real.mean(), True)
        return self.loss_weight * (more + _entropy(real - fake.mean(), False)) / 2

    def discriminator(self, fake: Tensor, real: Tensor) -> Tensor:
        """The opposite."""
        more = _entropy(real - fake.mean(), True)
        return (more + _entropy(fake - real.mean(), False)) / 2


def _entropy(logits: Tensor, real: bool) -> Tensor:
    wanted = torch.full_like(logits, float(real))
    return binary_cross_entropy_with_logits(logits, wanted)
