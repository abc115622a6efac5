"""Crops of a low-quality image and of its ground truth at the same place, flips and rotations."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform

from superres.errors import UserError
from superres.registry import TRANSFORMS

from .views import FLIP_HORIZONTAL, FLIP_VERTICAL, TRANSPOSE, made, then


@TRANSFORMS.register_module()
class PairedRandomCrop(BaseTransform):
    """A random square patch of ``lq`` and the patch of ``gt`` it belongs to.

    Args:
        lq_patch_size: side of the ``lq`` patch in pixels; the ``gt`` patch is ``scale`` times it.
        gt_patch_size: the side of the ``gt`` patch instead, a multiple of the scale.
        margin: where there is no ``lq`` yet (``make_lq='none'``), so many more ``lq`` pixels
            around the patch, as far as the image has them: what :class:`Degrade` then makes of
            the patch depends on the image, not on where it was cut. ``Degrade`` cuts them off.

    Without ``lq``, ``gt`` is cut where it would be with one.

    Adds ``top`` and ``left``, in ``lq`` pixels. The crops are views: no pixel is copied.

    Raises:
        UserError: neither or both sizes, a size that the scale does not divide, or an image that
            is smaller than the patch.
    """

    keeps_view = False
    moves_only = True

    def __init__(
        self, lq_patch_size: int | None = None, gt_patch_size: int | None = None, margin: int = 0
    ) -> None:
        sizes = [size for size in (lq_patch_size, gt_patch_size) if size is not None]
        if len(sizes) != 1 or type(sizes[0]) is not int or sizes[0] < 1:
            what = "takes either lq_patch_size or gt_patch_size, a positive integer"
            raise UserError(f"PairedRandomCrop {what}, got {lq_patch_size!r} and {gt_patch_size!r}")
        if type(margin) is not int or margin < 0:
            raise UserError(f"PairedRandomCrop: margin = {margin!r} must be 0 or more pixels")
        self.lq_patch_size, self.gt_patch_size, self.margin = lq_patch_size, gt_patch_size, margin

    def needs(self, scale: int) -> int:
        """The side, in ``lq`` pixels, that an image must have at least.

        Raises:
            UserError: ``gt_patch_size`` is not a multiple of the scale.
        """
        if self.lq_patch_size is not None:
            return self.lq_patch_size
        patch, rest = divmod(self.gt_patch_size, scale)
        if rest:
            what = f"gt_patch_size {self.gt_patch_size} is not a multiple of the scale {scale}"
            raise UserError(f"PairedRandomCrop: {what}")
        return patch

    def transform(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Crop; see the class."""
        lq, gt, scale = sample.get("lq"), sample["gt"], sample["scale"]
        patch = self.needs(scale)
        height, width = lq.shape[:2] if lq is not None else (n // scale for n in gt.shape[:2])
        if height < patch or width < patch:
            text = f"{sample['gt_path']}: the image is {width}x{height} at low resolution, smaller"
            raise UserError(f"{text} than the patch of {patch}x{patch}; lower lq_patch_size")
        rng = sample["rng"]
        top = int(rng.integers(height - patch + 1))
        left = int(rng.integers(width - patch + 1))
        sample["top"], sample["left"] = top, left
        bottom, right = top + patch, left + patch
        if lq is not None:
            sample["lq"] = made(lq[top:bottom, left:right])
        elif self.margin:
            m = self.margin
            around = min(m, top), min(m, height - bottom), min(m, left), min(m, width - right)
            sample["margin"] = around
            top, bottom = top - around[0], bottom + around[1]
            left, right = left - around[2], right + around[3]
        sample["gt"] = made(gt[top * scale : bottom * scale, left * scale : right * scale])
        return sample


class _Turn(BaseTransform):
    """Changes ``sample['view']`` by ``turn``, a view, with probability ``prob``."""

    keeps_view = True
    moves_only = True
    turn: int

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise UserError(f"{type(self).__name__}: prob = {prob!r} must lie between 0 and 1")
        self.prob = prob

    def transform(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Note the turn, or not; ``lq`` and ``gt`` are seen through one view."""
        if sample["rng"].random() < self.prob:
            sample["view"] = then(sample.get("view", 0), self.turn)
        return sample


@TRANSFORMS.register_module()
class RandomFlip(_Turn):
    """Flip ``lq`` and ``gt`` with probability ``prob``.

    Args:
        direction: 'horizontal' (left and right trade places) or 'vertical'.
        prob: between 0 and 1.
    """

    def __init__(self, direction: str = "horizontal", prob: float = 0.5) -> None:
        super().__init__(prob)
        flips = {"horizontal": FLIP_HORIZONTAL, "vertical": FLIP_VERTICAL}
        if direction not in flips:
            raise UserError(f"RandomFlip: {direction!r} must be 'horizontal' or 'vertical'")
        self.turn = flips[direction]


@TRANSFORMS.register_module()
class RandomTranspose(_Turn):
    """Let rows and columns of ``lq`` and ``gt`` trade places with probability ``prob``."""

    turn = TRANSPOSE


@TRANSFORMS.register_module()
class RandomRot90(_Turn):
    """Turn ``lq`` and ``gt`` by 90 degrees against the clock with probability ``prob``.

    With the two flips before or behind it, all eight views are equally likely at 0.5.
    """

    turn = FLIP_HORIZONTAL | TRANSPOSE
