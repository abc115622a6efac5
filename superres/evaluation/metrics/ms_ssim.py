"""MS-SSIM, through torchmetrics."""

from functools import partial
from typing import Any

from superres.errors import UserError
from superres.registry import METRICS

from ._library import Compute, LibraryMetric


@METRICS.register_module("ms-ssim")
class MSSSIM(LibraryMetric):
    """Structural similarity on five scales."""

    title = "MS-SSIM"
    better = "higher"
    text = "Wang et al. 2003, five scales; needs more than 160 px a side after shaving"
    luma = True

    def load(self) -> Compute:
        from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

        return partial(
            multiscale_structural_similarity_index_measure,
            sigma=1.5,
            kernel_size=11,
            data_range=1.0,
        )

    def __call__(self, sr: Any, hr: Any, protocol: Any) -> Any:
        if min(sr.shape[:2]) <= 160:
            raise UserError("MS-SSIM needs more than 160 px a side after shaving")
        return super().__call__(sr, hr, protocol)
