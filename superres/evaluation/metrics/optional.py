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
    """A metric of a library, loaded when it is made: weights may be fetched then.

    Attributes:
        luma: whether it is taken of Y under protocols that score Y.
        needs: the library, and the extra of superres that installs it.
    """

    luma = False
    needs = ("torchmetrics", "perceptual")
    better = "lower"

    def __init__(self, device: str = "cpu") -> None:
        self.device, self.compute = device, self.load(device)

    def load(self, device: str) -> Callable[[torch.Tensor, torch.Tensor], Any]:
        """The function that scores SR and HR, (1, 3, H, W) or (1, 1, H, W), float64 in [0, 1]."""
        raise NotImplementedError

    def __call__(self, sr: np.ndarray, hr: np.ndarray, protocol: Protocol) -> Any:
        """The score of one pair, as a tensor of one number."""
        import torch

        peak = peak_of(sr, hr)
        if sr.ndim == 2:
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
    """Structural similarity on five scales."""

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
    """Distance of AlexNet's features."""

    title = "LPIPS"
    text = "Zhang et al. 2018, version 0.1 on AlexNet, of RGB"
    network = "alex"

    def load(self, device: str) -> Any:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        network = LearnedPerceptualImagePatchSimilarity(self.network, normalize=True).to(device)
        return lambda sr, hr: network(sr.float(), hr.float())


@METRICS.register_module("lpips-vgg")
class LPIPSVGG(LPIPS):
    """Distance of VGG16's features."""

    title = "LPIPS-VGG"
    text = "Zhang et al. 2018, version 0.1 on VGG16, of RGB"
    network = "vgg"


@METRICS.register_module("dists")
class DISTS(LibraryMetric):
    """Distance of structure and texture in VGG16's features."""

    title = "DISTS"
    text = "Ding et al. 2020, of RGB"

    def load(self, device: str) -> Any:
        # The class around it would read VGG16's weights for every image.
        from torchmetrics.functional.image.dists import DISTSNetwork

        network = DISTSNetwork().to(device).eval()
        return lambda sr, hr: network(sr.float(), hr.float())


@METRICS.register_module("niqe")
class NIQE(LibraryMetric):
    """Naturalness of SR."""

    title = "NIQE"
    text = "Mittal et al. 2013, of SR alone, without HR"
    needs = ("pyiqa", "niqe")

    def load(self, device: str) -> Any:
        import pyiqa

        metric = pyiqa.create_metric("niqe", device=device)
        return lambda sr, hr: metric(sr.float())
