"""A restorer that is trained against a discriminator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmengine.dist import all_reduce_params
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from superres.models.restorers.restorer import Restorer
from superres.registry import MODELS


@MODELS.register_module()
class GANRestorer(Restorer):
    """A backbone (the generator), a discriminator, and the losses of both.

    Each iteration updates the backbone by its losses and the adversarial one, then the
    discriminator by patches that were just made (Ledig et al., SRGAN, 2017; Wang et al., ESRGAN,
    2018 and Real-ESRGAN, 2021). One optimiser holds both networks and steps twice: weights without
    a gradient are left as they are, so Adam treats each network as an optimiser of its own would.
    A learning rate of its own for the discriminator is
    ``optim_wrapper.paramwise_cfg = dict(custom_keys=dict(discriminator=dict(lr_mult=0.5)))``.

    Args:
        discriminator: a network, or the config of one, (N, C, H, W) to logits.
        adversarial: config of a :class:`superres.models.losses.adversarial.VanillaGAN` or
            ``RelativisticGAN``.
        **kwargs: see :class:`Restorer`; ``loss`` is the sum of the other losses.
    """

    averages_gradients = True  # over all ranks, in train_step

    def __init__(
        self,
        *args: Any,
        discriminator: dict[str, Any] | nn.Module,
        adversarial: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        built = isinstance(discriminator, nn.Module)
        self.discriminator = discriminator if built else MODELS.build(discriminator)
        self.adversarial = MODELS.build(adversarial or {"type": "VanillaGAN"})

    def train_step(self, data: dict[str, Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Both updates; gives what is logged, the discriminator's mean logits among it."""
        with optim_wrapper.optim_context(self):
            batch = self.data_preprocessor(data, training=True)
            gt = batch["data_samples"]["gt"]
            sr = (self.run_backbone or self.backbone)(batch["inputs"])
            losses = {key: loss(sr, gt) for key, loss in self.losses.items()}
            self.discriminator.requires_grad_(False)
            fake, real = self.discriminator(sr), self.discriminator(gt)
            losses["loss_adversarial"] = self.adversarial.generator(fake, real)
        total, logged = self.parse_losses(losses)
        _update(optim_wrapper, total, self.backbone.parameters())
        self.discriminator.requires_grad_(True)
        with optim_wrapper.optim_context(self):
            fake, real = self.discriminator(sr.detach()), self.discriminator(gt)
            total = self.adversarial.discriminator(fake, real)
        _update(optim_wrapper, total, self.discriminator.parameters())
        # Running statistics of batch norm, which each rank took from its own samples.
        all_reduce_params([b for b in self.buffers() if b.is_floating_point()], op="mean")
        logged |= {"loss_discriminator": total, "fake": fake.mean(), "real": real.mean()}
        return {key: value.detach() for key, value in logged.items()}


def _update(wrapper: OptimWrapper, loss: Tensor, weights: Iterable[nn.Parameter]) -> None:
    """One step of the weights, by the mean of all ranks' gradients."""
    wrapper.backward(loss)
    all_reduce_params([w.grad for w in weights if w.grad is not None], op="mean")
    wrapper.step()
    wrapper.zero_grad()
