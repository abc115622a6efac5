"""Flips and rotations. With both flips and a transpose all eight views are equally likely."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform

from superres.errors import UserError
from superres.registry import TRANSFORMS

from .views import FLIP_HORIZONTAL, FLIP_VERTICAL, then_flip, then_transpose


class _Turn(BaseTransform):
    """Changes ``sample['view']`` with probability ``prob``: ``lq`` and ``gt`` alike."""

    keeps_view = True
    moves_only = True

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise UserError(f"{type(self).__name__}: prob = {prob!r} must lie between 0 and 1")
        self.prob = prob

    def transform(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Note the turn, or not."""
        if sample["rng"].random() < self.prob:
            sample["view"] = self.then(sample.get("view", 0))
        return sample

    def then(self, view: int) -> int:
        """What a view becomes."""
        raise NotImplementedError


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
            raise UserError(
                f"RandomFlip: direction = {direction!r} must be 'horizontal' or 'vertical'"
            )
        self.flip = flips[direction]

    def then(self, view: int) -> int:
        return then_flip(view, self.flip)


@TRANSFORMS.register_module()
class RandomTranspose(_Turn):
    """Let rows and columns of ``lq`` and ``gt`` trade places with probability ``prob``."""

    def then(self, view: int) -> int:
        return then_transpose(view)


@TRANSFORMS.register_module()
class RandomRot90(_Turn):
    """Turn ``lq`` and ``gt`` by 90 degrees against the clock with probability ``prob``.

    With the two flips before or behind it, all eight views are equally likely at 0.5.
    """

    def then(self, view: int) -> int:
        return then_transpose(then_flip(view, FLIP_HORIZONTAL))
