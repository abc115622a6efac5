"""Several sets as one: ``train_set = ['DIV2K_train', dict(gt=..., lq=..., weight=2)]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from superres.errors import UserError
from superres.registry import DATASETS

from .sampler import SampleKey
from .storage import PictureStore


def build_dataset(config: Mapping[str, Any]) -> Any:
    """The dataset of a config; a :class:`JoinedDataset` where its ``name`` is a list of sets.

    Raises:
        UserError: as the datasets; a weight that is none.
    """
    sets = config.get("name")
    if not isinstance(sets, list | tuple) or not sets:
        return DATASETS.build(dict(config))
    parts, weights = [], []
    for one in sets:
        name = dict(one) if isinstance(one, Mapping) else one
        weight = name.pop("weight", None) if isinstance(name, dict) else None
        if weight is not None and not (type(weight) in (int, float) and 0 < weight < float("inf")):
            raise UserError(f"the set {dict(one)}: weight = {weight!r} must be a number above 0")
        parts.append(DATASETS.build({**config, "name": name}))
        weights.append(weight)
    return JoinedDataset(parts, [weight or 1 for weight in weights] if any(weights) else None)


class JoinedDataset(Dataset):
    """The pictures of several datasets, one set after the other.

    Args:
        sets: of one scale, with the same pipeline.
        weights: whose shares of the samples come from each set; None: every picture is drawn as
            often as any other.

    Attributes:
        shares: (pictures, weight) of each set for the sampler, or None.
    """

    def __init__(self, sets: Sequence[Any], weights: Sequence[float] | None = None) -> None:
        self.sets = list(sets)
        first = self.sets[0]
        self.name = " + ".join(part.name for part in self.sets)
        self.scale, self.seed, self.pipeline = first.scale, first.seed, first.pipeline
        self.make_lq, self.cache = first.make_lq, first.cache
        self.gt = _Stores([part.gt for part in self.sets])
        self.shares = weights and list(zip(map(len, self.sets), weights))

    def __len__(self) -> int:
        return len(self.gt)

    def too_small(self) -> list[int]:
        """As :meth:`PairedDataset.too_small`."""
        starts = self.gt.starts.tolist()
        return [start + i for start, part in zip(starts, self.sets) for i in part.too_small()]

    def lq_shape(self, i: int) -> tuple[int, ...]:
        """As :meth:`PairedDataset.lq_shape`."""
        which, number = self.gt.place(i)
        return self.sets[which].lq_shape(number)

    def load(self, i: int) -> tuple[Any, np.ndarray]:
        """As :meth:`PairedDataset.load`."""
        which, number = self.gt.place(i)
        return self.sets[which].load(number)

    def describe(self, i: int, lq: Any, gt: Any) -> dict[str, Any]:
        """As :meth:`PairedDataset.describe`."""
        which, number = self.gt.place(i)
        return self.sets[which].describe(number, lq, gt)

    def __getitem__(self, key: SampleKey | int) -> dict[str, Any]:
        index, *draw = key if isinstance(key, tuple) else (int(key), int(key))
        which, number = self.gt.place(index)
        return self.sets[which][SampleKey(number, *draw)]


class _Stores(PictureStore):
    """Stores one after the other; names may repeat."""

    def __init__(self, stores: Sequence[PictureStore]) -> None:
        self.stores = stores
        self.path = Path(" + ".join(str(store.path) for store in stores))
        self.starts = np.cumsum([0, *map(len, stores)])
        self._names = [name for store in stores for name in store.names()]
        self._entries = [(s, i) for s, store in enumerate(stores) for i in range(len(store))]

    def place(self, i: int) -> tuple[int, int]:
        """Which store picture ``i`` is in, and its number there."""
        return self._entries[i]

    def shape_at(self, i: int) -> tuple[int, int, int]:
        which, number = self.place(i)
        return self.stores[which].shape_at(number)

    def read_at(self, i: int) -> np.ndarray:
        which, number = self.place(i)
        return self.stores[which].read_at(number)

    def changed(self) -> str:
        return next(filter(None, (store.changed() for store in self.stores)), "")


def leaves(dataset: Any) -> list[tuple[str, Any]]:
    """The sets that a training set consists of, each with what tells it apart ('x2', '2 of 3')."""
    found = []
    for scale, part in (getattr(dataset, "parts", None) or {None: dataset}).items():
        sets = getattr(part, "sets", [part])
        shares = getattr(part, "shares", None)
        total = sum(weight for _, weight in shares or ())
        for i, one in enumerate(sets):
            words = [] if scale is None else [f"x{scale}"]
            if len(sets) > 1:
                words.append(f"set {i + 1} of {len(sets)}")
            if shares:
                words.append(f"{shares[i][1] / total:.1%} of the samples")
            found.append((", ".join(words), one))
    return found


def stores(dataset: Any) -> list[tuple[str, PictureStore]]:
    """What a training set reads, each with its side and what tells it apart ('gt x2')."""
    sides = [(side, word, part) for word, part in leaves(dataset) for side in ("gt", "lq")]
    return [
        (f"{side} {word}".rstrip(), store)
        for side, word, part in sides
        if (store := getattr(part, side, None)) is not None
    ]
