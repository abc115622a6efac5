"""Several sets as one: ``train_set=['DIV2K_train', dict(gt=..., weight=2)]``, or several scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from superres.errors import UserError
from superres.registry import DATASETS

from .sampler import SampleKey
from .storage import ImageStore


def build_dataset(config: Mapping[str, Any]) -> Any:
    """The dataset of a config; a :class:`JoinedDataset` where its ``name`` is a list of sets.

    Raises:
        UserError: as the datasets; a weight that is not a number above 0.
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


class Gathered(ImageStore):
    """The images of several stores, one store after the other; names may repeat."""

    def __init__(self, stores: Sequence[ImageStore]) -> None:
        self.path = Path(" + ".join(str(store.path) for store in stores))
        self._entries = [(store, i) for store in stores for i in range(len(store))]
        self._names = [store.name_at(i) for store, i in self._entries]

    def shape_at(self, i: int) -> tuple[int, int, int]:
        store, number = self._entries[i]
        return store.shape_at(number)

    def read_at(self, i: int) -> np.ndarray:
        store, number = self._entries[i]
        return store.read_at(number)


class JoinedDataset(Dataset):
    """The images of several datasets, one set after the other.

    Args:
        sets: of one scale, with the same pipeline.
        weights: whose shares of the samples come from each set; None: every image is drawn as
            often as any other.

    Attributes:
        gt: the ground truths of all sets.
        places: of each image its set, and its number there.
        shares: (images, weight) of each set for the sampler, or None.
    """

    def __init__(self, sets: Sequence[Any], weights: Sequence[float] | None = None) -> None:
        self.sets = list(sets)
        first = self.sets[0]
        self.name = " + ".join(part.name for part in self.sets)
        self.scale, self.seed, self.pipeline = first.scale, first.seed, first.pipeline
        self.make_lq, self.cache = first.make_lq, first.cache
        self.gt = Gathered([part.gt for part in self.sets])
        self.places = [(part, i) for part in self.sets for i in range(len(part))]
        self.shares = weights and list(zip(map(len, self.sets), weights))

    def __len__(self) -> int:
        return len(self.places)

    def too_small(self) -> list[int]:
        """As :meth:`PairedDataset.too_small`."""
        small = {(part, i) for part in self.sets for i in part.too_small()}
        return [number for number, place in enumerate(self.places) if place in small]

    def __getitem__(self, key: SampleKey | int) -> dict[str, Any]:
        index, *draw = key if isinstance(key, tuple) else (int(key), int(key))
        part, number = self.places[index]
        return part[SampleKey(number, *draw)]


def places(dataset: Any) -> list[tuple[Any, int]]:
    """Of each image of a training set of one scale its :class:`PairedDataset`, and number there."""
    return getattr(dataset, "places", None) or [(dataset, i) for i in range(len(dataset))]


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


def stores(dataset: Any) -> list[tuple[str, ImageStore]]:
    """What a training set reads, each with its side and what tells it apart ('gt x2')."""
    sides = [(side, word, part) for word, part in leaves(dataset) for side in ("gt", "lq")]
    return [
        (f"{side} {word}".rstrip(), store)
        for side, word, part in sides
        if (store := getattr(part, side, None)) is not None
    ]


@DATASETS.register_module()
class MultiScaleDataset(Dataset):
    """One dataset per scale, with the same images in the same order.

    A sample has the scale that its :class:`SampleKey` asks for. The sampler draws one scale per
    batch from (seed, iteration), so a batch is of one scale, and the same one on all ranks.

    Args:
        scales: e.g. (2, 3, 4).
        dataset: config of one of them, such as a :class:`PairedDataset`; its ``scale`` is
            replaced by each scale in turn.
        seed: set by the engine from the run's seed.

    Raises:
        UserError: scales whose ground truths are not the same images.
    """

    def __init__(self, scales: Sequence[int], dataset: dict[str, Any], seed: int = 0) -> None:
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
                two = f"of x{scale} ({part.gt.path}) and of x{self.scales[0]} ({self.gt.path})"
                raise UserError(f"the ground truth {two} are not the same images")

    def too_small(self) -> list[int]:
        """As :meth:`PairedDataset.too_small`, at any of the scales."""
        return sorted({i for part in self.parts.values() for i in part.too_small()})

    def __len__(self) -> int:
        return len(self.gt)

    def __getitem__(self, key: SampleKey | int) -> dict[str, Any]:
        """The sample of ``key.scale``; of the first scale where the key names none."""
        scale = key.scale if isinstance(key, SampleKey) and key.scale else self.scales[0]
        return self.parts[scale][key]
