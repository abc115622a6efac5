"""Flips and rotations. With both flips and a transpose all eight views are equally likely."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform

from superres.errors import UserError
from superres.registry import TRANSFORMS

from .views import FLIP_HORIZONTAL, FLIP_VERTICAL, then_flip, then_transpose


def _probability(name: str, prob: float) -> float:
    if not 0 <= prob <= 1:
        raise UserError(f"{name}: prob = {prob!r} must lie between 0 and 1")
    return prob


@TRANSFORMS.register_module()
class RandomFlip(BaseTransform):
    """Flip ``lq`` and ``gt`` with probability ``prob``.

    Args:
        direction: 'horizontal' (left and right trade places) or 'vertical'.
        prob: between 0 and 1.
    """

    keeps_view = True
    moves_only = True

    def __init__(self, direction: str = "horizontal", prob: float = 0.5) -> None:
        flips = {"horizontal": FLIP_HORIZONTAL, "vertical": FLIP_VERTICAL}
        if direction not in flips:
            raise UserError(
                f"RandomFlip: direction = {direction!r} must be 'horizontal' or 'vertical'"
            )
        self.flip = flips[direction]
        self.prob = _probability("RandomFlip", prob)

    def transform(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Note the flip in ``sample['view']``."""
        if sample["rng"].random() < self.prob:
            sample["view"] = then_flip(sample.get("view", 0), self.flip)
        return sample


@TRANSFORMS.register_module()
class RandomTranspose(BaseTransform):
    """Let rows and columns of ``lq`` and ``gt`` trade places with probability ``prob``."""

    keeps_view = True
    moves_only = True

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = _probability("RandomTranspose", prob)

    def transform(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Note the transpose in ``sample['view']``."""
        if sample["rng"].random() < self.prob:
            sample["view"] = then_transpose(sample.get("view", 0))
        return sample


@TRANSFORMS.register_module()
class RandomRot90(BaseTransform):
    """Turn ``lq`` and ``gt`` by 90 degrees against the clock with probability ``prob``.

    With the two flips before or behind it, all eight views are equally likely at 0.5.
    """

    keeps_view = True
    moves_only = True

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = _probability("RandomRot90", prob)

    def transform(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Note the turn in ``sample['view']``: a left-right flip, then a transpose."""
        if sample["rng"].random() < self.prob:
            view = then_flip(sample.get("view", 0), FLIP_HORIZONTAL)
            sample["view"] = then_transpose(view)
        return sample
