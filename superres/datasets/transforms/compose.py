"""Running a list of transforms over a sample, and what is left of it at the end."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform

from superres.errors import UserError
from superres.registry import TRANSFORMS

from .views import made, settle_view, then


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
        self._steps = [(t, getattr(t, "keeps_view", False)) for t in self.transforms]

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        for transform, keeps_view in self._steps:
            if not keeps_view and sample.get("view"):
                sample = settle_view(sample)
            given = sample
            sample = transform(given)
            if sample is None:
                name = given.get("gt_path") or given.get("lq_path")
                text = f"the transform {type(transform).__name__} gave nothing back for {name}"
                raise UserError(f"{text}; a transform must return the sample")
        return sample


META_KEYS = ("index", "draw", "name", "scale", "top", "left", "lq_path", "gt_path")


@TRANSFORMS.register_module()
class PackInputs(BaseTransform):
    """Keep what the network and the records need.

    Gives ``inputs`` (the low-quality pixels), ``gt`` (if there is one), ``view`` (still to be
    applied when the batch is written) and ``meta``: :data:`META_KEYS`, as far as they are there.

    Args:
        meta_keys: further entries of the sample to keep in ``meta``.

    Raises:
        UserError: the sample has no ``lq``.
    """

    keeps_view = True
    moves_only = True

    def __init__(self, meta_keys: tuple[str, ...] = ()) -> None:
        self.meta_keys = (*META_KEYS, *meta_keys)

    def transform(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Select; see the class."""
        if sample.get("lq") is None or sample.get("margin"):
            text = f"{sample.get('gt_path')}: there is no lq to pack. With make_lq='none' the"
            raise UserError(f"{text} pipeline makes it: put Degrade before PackInputs")
        meta = {key: sample[key] for key in self.meta_keys if key in sample}
        view = sample.get("view", 0)
        meta["view"] = then(sample.get("settled_view", 0), view)
        packed = {"inputs": made(sample["lq"]), "view": view, "meta": meta}
        if sample.get("gt") is not None:
            packed["gt"] = made(sample["gt"])
        return packed
