"""Pairs at several scales over the same ground truth, for networks such as MDSR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset

from superres.errors import UserError
from superres.registry import DATASETS

from .joined import build_dataset
from .sampler import SampleKey


@DATASETS.register_module()
class MultiScaleDataset(Dataset):
    """One dataset per scale, with the same pictures in the same order.

    A sample has the scale that its :class:`SampleKey` asks for. The sampler draws one scale per
    batch from (seed, iteration), so a batch is of one scale, and the same one on all ranks.

    Args:
        scales: e.g. (2, 3, 4).
        dataset: config of one of them, such as a :class:`PairedDataset`; its ``scale`` is
            replaced by each scale in turn.
        seed: set by the engine from the run's seed.

    Raises:
        UserError: no scales, or scales whose ground truths are not the same pictures.
    """

    def __init__(self, scales: Sequence[int], dataset: dict[str, Any], seed: int = 0) -> None:
        if isinstance(scales, int):
            scales = [scales]
        if not scales:
            raise UserError("MultiScaleDataset: scales is empty; give e.g. scales=[2, 3, 4]")
        self.scales = [int(scale) for scale in scales]
        self.parts = {
            scale: build_dataset({**dataset, "scale": scale, "seed": seed}) for scale in self.scales
        }
        first = self.parts[self.scales[0]]
        self.name, self.gt = first.name, first.gt
        # As of superres.datasets.joined.JoinedDataset.
        self.shares = getattr(first, "shares", None)
        for scale, part in self.parts.items():
            same = part.gt.path == self.gt.path
            if not same and list(part.gt.names()) != list(self.gt.names()):
                raise UserError(
                    f"the ground truth of x{scale} ({part.gt.path}) and of x{self.scales[0]} "
                    f"({self.gt.path}) are not the same pictures"
                )

    def too_small(self) -> list[int]:
        """As :meth:`PairedDataset.too_small`, at any of the scales."""
        return sorted({i for part in self.parts.values() for i in part.too_small()})

    def __len__(self) -> int:
        return len(self.gt)

    def __getitem__(self, key: SampleKey | int) -> dict[str, Any]:
        """The sample of ``key.scale``; of the first scale where the key names none."""
        scale = key.scale if isinstance(key, SampleKey) and key.scale else self.scales[0]
        return self.parts[scale][key]
