"""Patches that grow in the course of a training."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from superres.datasets.transforms.crop_and_flip import PairedRandomCrop
from superres.errors import UserError
from superres.registry import TRANSFORMS


@TRANSFORMS.register_module()
class GrowingRandomCrop(PairedRandomCrop):
    """:class:`PairedRandomCrop` whose patch size depends on the iteration.

    The iteration follows from the number of the draw, so all samples of a batch have one size, and
    a resume, workers and ranks change nothing.

    Args:
        lq_patch_size: final side of the ``lq`` patch in pixels. Images that are smaller are left
            out from the start.
        before: earlier stages, each as (side, first iteration after it); a side is at most the
            final one.
        global_batch_size: samples of an iteration over all ranks.
        margin: see :class:`PairedRandomCrop`.

    Raises:
        UserError: the iterations of the stages do not rise.
    """

    def __init__(
        self,
        lq_patch_size: int,
        before: list[tuple[int, int]],
        global_batch_size: int,
        margin: int = 0,
    ) -> None:
        super().__init__(lq_patch_size, margin=margin)
        self.ends = [end for _, end in before]
        if self.ends != sorted(set(self.ends)):
            raise UserError(
                f"GrowingRandomCrop: the iterations in before = {before!r} must rise from stage to "
                "stage"
            )
        sides = [min(side, lq_patch_size) for side, _ in before]
        self.stages = [PairedRandomCrop(side, margin=margin) for side in sides]
        self.global_batch_size = global_batch_size

    def transform(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Crop at the size of the sample's iteration."""
        stage = bisect_right(self.ends, sample["draw"] // self.global_batch_size)
        if stage == len(self.stages):
            return super().transform(sample)
        return self.stages[stage].transform(sample)
