"""Running a list of transforms over a sample."""

from __future__ import annotations

from typing import Any

from superres.errors import UserError
from superres.registry import TRANSFORMS

from .views import settle_view


class Pipeline:
    """Calls transforms in order.

    A transform that keeps a pending ``sample['view']`` right by itself says so with a class
    attribute ``keeps_view = True``; before any other, the view is applied to the pixels, so that
    a transform written without knowing of views works.
    """

    def __init__(self, transforms: list[dict[str, Any]]) -> None:
        self.transforms = [
            TRANSFORMS.build(t) if isinstance(t, dict) else t for t in transforms or []
        ]

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        for transform in self.transforms:
            if sample.get("view") and not getattr(transform, "keeps_view", False):
                sample = settle_view(sample)
            name = sample.get("gt_path") or sample.get("lq_path")
            sample = transform(sample)
            if sample is None:
                raise UserError(
                    f"the transform {type(transform).__name__} gave nothing back for {name}; "
                    "a transform must return the sample"
                )
        return sample
