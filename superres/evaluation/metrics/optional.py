"""Metrics that optional libraries compute from tensors: MS-SSIM, LPIPS, DISTS and NIQE."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from superres.evaluation.validate_pair import peak_of
from superres.imaging.colour import rgb_to_y
from superres.registry import METRICS

if TYPE_CHECKING:
    import torch

    from superres.evaluation.protocols import Protocol


class LibraryMetric:
    """A metric that another package computes; constructing it may download weights.

    Attributes:
        title, text: its heading and its note in tables.
        luma: whether it compares Y under protocols that compare Y; else RGB.
        needs: the package, and the extra of superres that installs it.
        better: 'lower' or 'higher'.
    """

    luma = False
    needs = ("torchmetrics", "perceptual")
    better = "lower"

    def __init__(self, device: str = "cpu") -> None:
        self.device, self.compute = device, self.load(device)

    def load(self, device: str) -> Callable[[torch.Tensor, torch.Tensor], Any]:
        """Return a function that scores SR and HR: (1, 3 or 1, H, W), float64 in [0, 1]."""
        raise NotImplementedError

    def __call__(self, sr: np.ndarray, hr: np.ndarray, protocol: Protocol) -> Any:
        """Return the score of one pair, a tensor of one number.

        Args:
            sr, hr: (H, W, 3) RGB or (H, W) grey, equal in size, as the protocol compares them.
            protocol: its channel and luma are used where ``luma`` is True.
        """
        import torch

        peak = peak_of(sr, hr)  # the largest value of their type, such as 255
        if sr.ndim == 2:  # grey, as the networks of these metrics take RGB
            sr, hr = (np.repeat(x[:, :, None], 3, axis=2) for x in (sr, hr))
        if self.luma and protocol.channel == "y":
            sr, hr = (rgb_to_y(x, protocol.luma, protocol.round_y)[:, :, None] for x in (sr, hr))
        planes = (np.ascontiguousarray(x.transpose(2, 0, 1), np.float64) / peak for x in (sr, hr))
        with torch.inference_mode():
            return self.compute(
                *(torch.from_numpy(x)[None].clamp_(0, 1).to(self.device) for x in planes)
            )


@METRICS.register_module("ms-ssim")
class MSSSIM(LibraryMetric):
    """Multi-scale structural similarity."""

    title = "MS-SSIM"
    better = "higher"
    text = "Wang et al. 2003, five scales; needs more than 160 px a side after shaving"
    luma = True
    needs = ("torchmetrics", "metrics")

    def load(self, device: str) -> Any:
        from torchmetrics.functional import image

        return partial(image.multiscale_structural_similarity_index_measure, data_range=1.0)


@METRICS.register_module("lpips")
class LPIPS(LibraryMetric):
    """Learned perceptual distance, of AlexNet's features."""

    title = "LPIPS"
    text = "Zhang et al. 2018, version 0.1 on AlexNet, of RGB"
    network = "alex"

    def load(self, device: str) -> Any:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        network = LearnedPerceptualImagePatchSimilarity(self.network, normalize=True).to(device)
        return lambda sr, hr: network(sr.float(), hr.float())  # normalize: from [0, 1]


@METRICS.register_module("lpips-vgg")
class LPIPSVGG(LPIPS):
    """Learned perceptual distance, of VGG16's features."""

    title = "LPIPS-VGG"
    text = "Zhang et al. 2018, version 0.1 on VGG16, of RGB"
    network = "vgg"


@METRICS.register_module("dists")
class DISTS(LibraryMetric):
    """Distance of structure and of texture, in VGG16's features."""

    title = "DISTS"
    text = "Ding et al. 2020, of RGB"

    def load(self, device: str) -> Any:
        # torchmetrics' class around it would read VGG16's weights for every image.
        from torchmetrics.functional.image.dists import DISTSNetwork

        network = DISTSNetwork().to(device).eval()
        return lambda sr, hr: network(sr.float(), hr.float())


@METRICS.register_module("niqe")
class NIQE(LibraryMetric):
    """Naturalness of an image, without a reference."""

    title = "NIQE"
    text = "Mittal et al. 2013, of SR alone, without HR"
    needs = ("pyiqa", "niqe")

    def load(self, device: str) -> Any:
        import pyiqa

        metric = pyiqa.create_metric("niqe", device=device)
        return lambda sr, hr: metric(sr.float())
