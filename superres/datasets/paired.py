"""Pairs of a low-quality image and its ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from superres.errors import UserError
from superres.imaging.resize import modcrop
from superres.registry import DATASETS, TRANSFORMS

from .device_cache import CACHE_KEY, resolved_cache
from .lazy import reduced
from .locate import locate
from .pairing import match_names, size_fault
from .sampler import SampleKey, sample_generator
from .storage import ImageLmdb, ImageStore, open_store
from .storage.raw_cache import in_memory, on_disk
from .transforms.compose import Pipeline


@DATASETS.register_module()
class PairedDataset(Dataset):
    """A set of images as samples.

    A sample is a dict with ``lq`` and ``gt`` (HWC, RGB, uint8 or uint16; views where the store
    gives views), ``scale``, ``lq_path``, ``gt_path``, ``name``, ``index``, ``draw`` and ``rng``,
    a generator made from (seed, draw), which is the only source of randomness of a transform.

    Args:
        name: a set's name below ``data_root``, a path, or ``dict(gt=FOLDER, lq=FOLDER)`` (see
            :func:`superres.datasets.locate.locate`).
        data_root: where sets are looked for.
        scale: whole number by which ``gt`` is larger than ``lq``.
        pipeline: transforms.
        make_lq: 'auto' reads ``lq`` where it is there and makes it by the exact bicubic else;
            'bicubic' always makes it; 'none' leaves it to the pipeline. A ``dict(type='Degrade',
            ...)`` makes it of the whole image, always in the same way: the random numbers are
            those of (seed, index). That is for validation.
        border: border rule of a bicubic that is made here.
        channels: 'rgb' or 'grey': what images are turned to, also packed ones.
        dtype: 'uint8' (16-bit files are reduced) or 'keep'.
        cache: where decoded images are kept: 'disk', for image files only (:mod:`.raw_cache`);
            'cpu', in memory; 'gpu', where the batches are then made, too (:mod:`.device_cache`);
            'device', the GPU where there is one, else the CPU; None.
        cache_gib: GiB that the disk caches of all sets may take.
        check_pairs: whether a training first looks at a few pairs (:mod:`.pairing`).
        seed: set by the engine from the run's seed.

    Raises:
        UserError: nothing there, an empty set, images without a partner, sizes that don't match.
    """

    def __init__(
        self,
        name: str | Mapping[str, Any],
        data_root: str = ".",
        scale: int = 4,
        pipeline: list[dict[str, Any]] | None = None,
        make_lq: str | dict[str, Any] = "auto",
        border: str = "reflect",
        channels: str = "rgb",
        dtype: str = "uint8",
        cache: str | None = "disk",
        cache_gib: float = 50,
        check_pairs: bool = True,
        seed: int = 0,
    ) -> None:
        self._degrade = TRANSFORMS.build(make_lq) if isinstance(make_lq, dict) else None
        if self._degrade is None and make_lq not in ("auto", "bicubic", "none"):
            text = f"PairedDataset: make_lq = {make_lq!r} must be auto, bicubic, none or"
            raise UserError(f"{text} dict(type='Degrade', ...)")
        if make_lq == "bicubic" and isinstance(name, Mapping) and name.get("lq"):
            raise UserError(f"{name['lq']} is not read: leave lq out, or set make_lq='auto'")
        found = locate(name, data_root, scale, needs_lq=make_lq == "auto")
        self.name, self.notes = found.name, list(found.notes)
        self.scale, self.seed, self.border, self.make_lq = scale, seed, border, make_lq
        self.cache, self.check_pairs = resolved_cache(cache), check_pairs
        self.gt: ImageStore = open_store(found.gt, channels=channels, dtype=dtype)
        self.lq: ImageStore | None = None
        if found.lq is not None and make_lq == "auto":
            self.lq = open_store(found.lq, channels=channels, dtype=dtype)
        self.channels = channels
        for store in (self.gt, self.lq):
            if isinstance(store, ImageLmdb):
                store.as_channels = {"grey": 1, "rgb": 3}.get(channels)
        self.gt = self.gt if found.only is None else self.gt.chosen(found.only)
        self.partners = self._match() if self.lq is not None else []
        self._check_sizes()
        self.notes += self._unused()
        self.pipeline = Pipeline(pipeline)
        self.cached: list[str] = []
        self.gt, self.lq = (s and self._kept_decoded(s, cache_gib) for s in (self.gt, self.lq))

    def _kept_decoded(self, store: ImageStore, most: float) -> ImageStore:
        """The store, or its cache in memory or on the disk."""
        if self.cache == "cpu":
            return in_memory(store, CACHE_KEY)
        if self.cache != "disk" or isinstance(store, ImageLmdb):
            return store
        try:
            cache, text = on_disk(store, most)
        except UserError as error:
            self.notes.append(f"{store.path}: decoded for every sample, not once: {error}")
            return store
        (self.cached if cache.count == len(store) else self.notes).append(text)
        return cache

    def __len__(self) -> int:
        return len(self.gt)

    def describe_sides(self) -> str:
        """Where both sides come from, for a run's start line."""
        by = {"none": "the pipeline"}.get(str(self.make_lq), f"MATLAB's bicubic x{self.scale}")
        low = f"made by {'the config' if self._degrade else by}"
        low = low if self.lq is None else f"from {self.lq.path}"
        sides = f"{len(self)} images, HR from {self.gt.path}, LR {low}"
        return ", ".join(dict.fromkeys([sides, *self.cached]))

    def _unused(self) -> list[str]:
        """What of the low-quality side belongs to no ground truth."""
        more = 0 if self.lq is None else len(self.lq) - len(self.gt)
        if more <= 0 or self.gt.is_part:
            return []
        of = f"{more} of {len(self.lq)} images of {self.lq.path}"
        return [f"{of} have no partner and are not used"]

    def _match(self) -> list[int]:
        """For each ground truth the number of its partner."""
        return match_names(self.gt, self.lq, self.scale)

    def _check_sizes(self) -> None:
        """Every pair fits: gt is scale times lq, or less than one low-quality pixel larger."""
        for i in range(len(self)):
            self._check_size(i)

    def _check_size(self, i: int) -> None:
        gt_shape = self.gt.shape_at(i)
        if min(gt_shape[:2]) < self.scale:
            text = f"{self.gt.path}: {self.gt.name_at(i)} is {gt_shape[1]}x{gt_shape[0]} pixels"
            raise UserError(f"{text}, too small for scale {self.scale}")
        fault = self.lq and size_fault(gt_shape, self.lq_shape(i), self.scale)
        if fault:
            text = f"{self.lq.path}, {self.lq.name_at(self.partners[i])}: {fault}. Give images of"
            text += f" one x{self.scale} pair in both folders ({self.gt.path}), or set the scale"
            raise UserError(f"{text} that they have")

    def too_small(self) -> list[int]:
        """The images that a transform of the pipeline cannot cut its patch from."""
        needs = [t.needs(self.scale) for t in self.pipeline.transforms if hasattr(t, "needs")]
        side = max(needs, default=0) * self.scale
        return [i for i in range(len(self)) if min(self.gt.shape_at(i)[:2]) < side] if side else []

    def lq_shape(self, i: int) -> tuple[int, int, int]:
        """The shape of the low-quality side of image ``i``, without reading it."""
        if self.lq is not None:
            return self.lq.shape_at(self.partners[i])
        height, width, channels = self.gt.shape_at(i)
        return height // self.scale, width // self.scale, channels

    def load(self, i: int) -> tuple[Any, np.ndarray]:
        """(lq, gt) of image ``i``; ``gt`` cropped to ``scale`` times ``lq``, top left."""
        gt = self.gt.read_at(i)
        if self.lq is not None:
            lq = self.lq.read_at(self.partners[i])
            if fault := size_fault(gt.shape, lq.shape, self.scale):  # changed since the start
                raise UserError(f"{self.lq.path}, partner of {self.gt.name_at(i)}: {fault}")
            return lq, gt[: lq.shape[0] * self.scale, : lq.shape[1] * self.scale]
        gt = modcrop(gt, self.scale)
        if self.make_lq == "none":
            return None, gt
        if self._degrade is not None:
            sample = {"gt": gt, "scale": self.scale, "gt_path": self.gt.name_at(i)}
            return self._degrade({**sample, "rng": sample_generator(self.seed, i)})["lq"], gt
        return reduced(gt, self.scale, self.border), gt

    def describe(self, i: int, lq: Any, gt: Any) -> dict[str, Any]:
        """What is the same in every sample of image ``i``, with these for its two sides."""
        name = self.gt.name_at(i)
        fixed = {"gt": gt, "scale": self.scale, "index": i, "name": name}
        fixed["gt_path"] = f"{self.gt.path}/{name}"
        if lq is not None:
            fixed["lq"] = lq
            store, number = (self.gt, i) if self.lq is None else (self.lq, self.partners[i])
            fixed["lq_path"] = f"{store.path}/{store.name_at(number)}"
        return fixed

    def __getitem__(self, key: SampleKey | int) -> dict[str, Any]:
        index, draw = key[:2] if isinstance(key, tuple) else (int(key), int(key))
        drawn = {"draw": draw, "rng": sample_generator(self.seed, draw)}
        return self.pipeline(self.describe(index, *self.load(index)) | drawn)
