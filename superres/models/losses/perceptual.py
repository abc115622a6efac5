"""Perceptual loss on VGG19 features (Johnson et al., 2016; SRGAN's VGG54, Ledig et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from superres.errors import UserError
from superres.registry import MODELS

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
"""torchvision's ImageNet weights; the hash in the name is checked."""
BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
# ImageNet mean and deviation of RGB in [0, 1], which the weights were trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def vgg19_features(last: str) -> nn.Sequential:
    """VGG19's convolutions up to and including ``last`` ('conv5_4' is index 34), random weights.

    Indices are torchvision's, so that its weights fit.

    Raises:
        UserError: there is no such layer.
    """
    modules: list[nn.Module] = []
    channels = 3
    for block, (width, convs) in enumerate(BLOCKS, start=1):
        for number in range(1, convs + 1):
            modules.append(nn.Conv2d(channels, width, 3, padding=1))
            channels = width
            if last == f"conv{block}_{number}":
                return nn.Sequential(*modules)
            modules.append(nn.ReLU())
        modules.append(nn.MaxPool2d(2))
    raise UserError(f"VGG19 has no layer {last!r}; the last one is 'conv5_4'")


def load_vgg19(features: nn.Sequential, weights: str) -> None:
    """Fill ``features`` from a file with VGG19's ``features.N`` weights or from torchvision's URL.

    Raises:
        UserError: no such file or no connection, or a file without these weights.
    """
    try:
        if weights == "torchvision":
            state = torch.hub.load_state_dict_from_url(
                URL, map_location="cpu", check_hash=True, weights_only=True
            )
        else:
            state = torch.load(Path(weights).expanduser(), map_location="cpu", weights_only=True)
        wanted = {key: state[f"features.{key}"] for key in features.state_dict()}
        if not all(v.is_floating_point() and v.isfinite().all() for v in wanted.values()):
            raise ValueError("it holds other than finite numbers")
        features.load_state_dict(wanted)
    except Exception as error:  # a damaged file can fail in any way; all mean the same to a user
        reason = (str(error).strip().splitlines() or ["the file is empty"])[0][:100]
        raise UserError(
            f"VGG19 weights from {weights!r} cannot be read ({reason}); download {URL} and pass "
            "its path as weights= of PerceptualLoss"
        ) from error


@MODELS.register_module()
class PerceptualLoss(nn.Module):
    """Distance of VGG19 features before the ReLU of ``layer``, times ``loss_weight``.

    Of several layers (Real-ESRGAN's loss, Wang et al., 2021) the weighted sum.

    The VGG is neither trained nor part of the state dict, so checkpoints stay small.

    Args:
        layer: 'conv5_4' is SRGAN's and EDSR-PyTorch's VGG54, 'conv2_2' their VGG22; a dict of
            such names gives each its weight.
        loss_weight: factor.
        criterion: 'mse' (the published one) or 'l1'.
        weights: 'torchvision' downloads once to torch's cache; or the path of that file. None
            leaves the VGG random, which is good for trying a config without a connection.

    Raises:
        UserError: an unknown layer or criterion, or weights that cannot be read.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        layer: str | Mapping[str, float] = "conv5_4",
        loss_weight: float = 1.0,
        criterion: str = "mse",
        weights: str | None = "torchvision",
    ) -> None:
        super().__init__()
        criteria = {"mse": functional.mse_loss, "l1": functional.l1_loss}
        if criterion not in criteria:
            raise UserError(f"criterion={criterion!r} is not known; choose 'mse' or 'l1'")
        self.loss_weight = loss_weight
        self.criterion = criteria[criterion]
        wanted = {layer: 1.0} if isinstance(layer, str) else layer
        # The deepest one's name is the last in order: conv4_4 < conv5_1.
        features = vgg19_features(max(wanted))
        taps = {len(vgg19_features(name)) - 1: weight for name, weight in wanted.items()}
        self.taps = dict(sorted(taps.items()))
        if weights is not None:
            load_vgg19(features, weights)
        features.requires_grad_(False).eval()
        # In a tuple, so not a submodule: not saved, not counted, not seen by DDP or the optimiser.
        self._features = (features,)
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PerceptualLoss:
        self._features[0]._apply(fn)
        return super()._apply(fn, recurse)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """``pred`` and ``target`` (N, 3 or 1, H, W) in [0, 1] to a scalar.

        Raises:
            UserError: patches so small that the VGG's poolings leave nothing of them.
        """
        (features,) = self._features
        least = 2 ** sum(isinstance(module, nn.MaxPool2d) for module in features)
        if min(pred.shape[-2:]) < least:
            raise UserError(
                f"PerceptualLoss: patches of {pred.shape[-2]}x{pred.shape[-1]} are too small for "
                f"its layer, which needs {least}x{least}; raise lq_patch_size"
            )
        with torch.no_grad():
            wanted = self._tapped(target)
        parts = zip(self.taps.values(), self._tapped(pred), wanted)
        return self.loss_weight * sum(weight * self.criterion(x, y) for weight, x, y in parts)

    def _tapped(self, x: Tensor) -> list[Tensor]:
        """The features of each layer in `taps`, in their order."""
        x = (x.expand(-1, 3, -1, -1) - self.mean) / self.std
        found = []
        for index, module in enumerate(self._features[0]):
            x = module(x)
            found += [x] if index in self.taps else []
        return found
