"""Crops of a low-quality picture and of its ground truth at the same place."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform

from superres.errors import UserError
from superres.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PairedRandomCrop(BaseTransform):
    """A random square patch of ``lq`` and the patch of ``gt`` it belongs to.

    Args:
        lq_patch_size: side of the ``lq`` patch in pixels; the ``gt`` patch is ``scale`` times it.
        gt_patch_size: the side of the ``gt`` patch instead, a multiple of the scale.

    Adds ``top`` and ``left``, in ``lq`` pixels. The crops are views: no pixel is copied.

    Raises:
        UserError: neither or both sizes, a size that the scale does not divide, or a picture that
            is smaller than the patch.
    """

    keeps_view = False

    def __init__(self, lq_patch_size: int | None = None, gt_patch_size: int | None = None) -> None:
        if (lq_patch_size is None) == (gt_patch_size is None):
            raise UserError("PairedRandomCrop takes either lq_patch_size or gt_patch_size")
        size = gt_patch_size if lq_patch_size is None else lq_patch_size
        if type(size) is not int or size < 1:
            raise UserError(f"PairedRandomCrop: a patch of {size!r} pixels is none")
        self.lq_patch_size = lq_patch_size
        self.gt_patch_size = gt_patch_size

    def needs(self, scale: int) -> int:
        """The side, in ``lq`` pixels, that a picture must have at least.

        Raises:
            UserError: ``gt_patch_size`` is no multiple of the scale.
        """
        if self.lq_patch_size is not None:
            return self.lq_patch_size
        patch, rest = divmod(self.gt_patch_size, scale)
        if rest:
            raise UserError(
                f"PairedRandomCrop: gt_patch_size {self.gt_patch_size} is not a multiple of "
                f"the scale {scale}"
            )
        return patch

    def transform(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Crop; see the class."""
        lq, gt, scale = sample["lq"], sample["gt"], sample["scale"]
        patch = self.needs(scale)
        height, width = lq.shape[:2]
        if height < patch or width < patch:
            raise UserError(
                f"{sample['gt_path']}: the picture is {width}x{height} at low resolution, smaller "
                f"than the patch of {patch}x{patch}; lower lq_patch_size or leave the picture out"
            )
        rng = sample["rng"]
        top = int(rng.integers(height - patch + 1))
        left = int(rng.integers(width - patch + 1))
        sample["lq"] = lq[top : top + patch, left : left + patch]
        sample["gt"] = gt[
            top * scale : (top + patch) * scale, left * scale : (left + patch) * scale
        ]
        sample["top"], sample["left"] = top, left
        return sample
