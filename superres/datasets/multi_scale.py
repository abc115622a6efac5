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
        self.name = self._first.name
        for part in self.parts.values():
            self._check_same_pictures(part)

    @property
    def _first(self) -> Any:
        return self.parts[self.scales[0]]

    def _check_same_pictures(self, part: Any) -> None:
        first, other = self._first.gt, part.gt
        if first.path == other.path:
            return
        if len(first) != len(other) or any(
            first.name_at(i) != other.name_at(i) for i in range(len(first))
        ):
            raise UserError(
                f"the ground truth of x{part.scale} ({other.path}) and of x{self.scales[0]} "
                f"({first.path}) are not the same pictures"
            )

    def too_small(self) -> list[int]:
        """As :meth:`PairedDataset.too_small`, at any of the scales."""
        return sorted({i for part in self.parts.values() for i in part.too_small()})

    @property
    def gt(self) -> Any:
        """The store of the ground truth."""
        return self._first.gt

    @property
    def shares(self) -> Any:
        """As :attr:`superres.datasets.joined.JoinedDataset.shares`."""
        return getattr(self._first, "shares", None)

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, key: SampleKey | int) -> dict[str, Any]:
        """The sample of ``key.scale``; of the first scale where the key names none."""
        scale = key.scale if isinstance(key, SampleKey) and key.scale else self.scales[0]
        return self.parts[scale][key]
