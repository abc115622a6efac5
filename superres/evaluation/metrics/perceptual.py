"""LPIPS and DISTS, of RGB, through torchmetrics and networks of torchvision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superres.registry import METRICS

from ._library import Compute, LibraryMetric

if TYPE_CHECKING:
    import torch


class _Perceptual(LibraryMetric):
    better = "lower"
    needs = (
        "torchmetrics",
        "pip install torchmetrics torchvision (torchvision of the same build as torch: from the "
        "same index)",
    )


@METRICS.register_module("lpips")
class LPIPS(_Perceptual):
    """Distance of AlexNet's features."""

    title = "LPIPS"
    text = "Zhang et al. 2018, version 0.1 on AlexNet, of RGB"
    network = "alex"

    def load(self) -> Compute:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        metric = LearnedPerceptualImagePatchSimilarity(net_type=self.network, normalize=True)
        metric = metric.to(self.device)

        def once(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
            metric.reset()  # it would collect several
            metric.update(sr.float(), hr.float())
            return metric.compute()

        return once


@METRICS.register_module("lpips-vgg")
class LPIPSVGG(LPIPS):
    """Distance of VGG16's features."""

    title = "LPIPS-VGG"
    text = "Zhang et al. 2018, version 0.1 on VGG16, of RGB"
    network = "vgg"


@METRICS.register_module("dists")
class DISTS(_Perceptual):
    """Distance of structure and texture in VGG16's features."""

    title = "DISTS"
    text = "Ding et al. 2020, of RGB"

    def load(self) -> Compute:
        # The class around it would read VGG16's weights for every picture.
        from torchmetrics.functional.image.dists import DISTSNetwork

        network = DISTSNetwork().to(self.device).eval()
        return lambda sr, hr: network(sr.float(), hr.float())
