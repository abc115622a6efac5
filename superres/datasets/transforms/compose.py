"""Running a list of transforms over a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmcv.transforms import BaseTransform

from superres.errors import UserError
from superres.registry import TRANSFORMS

from .views import settle_view


class Pipeline:
    """Calls transforms in order.

    A transform that keeps a pending ``sample['view']`` right by itself says so with a class
    attribute ``keeps_view = True``; before any other, the view is applied to the pixels, so that
    a transform written without knowing of views works. One that only crops and turns, and so runs
    over places as well as over pixels (:mod:`superres.datasets.device_cache`), says
    ``moves_only = True``.
    """

    def __init__(self, transforms: list[dict[str, Any]]) -> None:
        self.transforms = [
            TRANSFORMS.build(t) if isinstance(t, dict) else t for t in transforms or []
        ]
        self._steps = [(t, _function(t), getattr(t, "keeps_view", False)) for t in self.transforms]

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        for transform, function, keeps_view in self._steps:
            if not keeps_view and sample.get("view"):
                sample = settle_view(sample)
            given = sample
            sample = function(given)
            if sample is None:
                name = given.get("gt_path") or given.get("lq_path")
                raise UserError(
                    f"the transform {type(transform).__name__} gave nothing back for {name}; "
                    "a transform must return the sample"
                )
        return sample


def _function(transform: Any) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """What calling the transform comes to."""
    plain = getattr(type(transform), "__call__", None) is BaseTransform.__call__  # noqa: B004
    return transform.transform if plain else transform
