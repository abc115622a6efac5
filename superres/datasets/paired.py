"""Pairs of a low-quality picture and its ground truth."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from superres.errors import UserError
from superres.imaging.resize import modcrop
from superres.registry import DATASETS, TRANSFORMS

from .lazy import LazyBicubic
from .locate import locate
from .pairing import match_names
from .sampler import SampleKey, sample_generator
from .storage import ImageLmdb, PictureStore, open_store
from .storage.chosen import chosen
from .transforms.compose import Pipeline

_KEEP = 1024  # pictures whose views and names a process keeps at hand, some 1.5 MB


@DATASETS.register_module()
class PairedDataset(Dataset):
    """A set of pictures as samples.

    A sample is a dict with ``lq`` and ``gt`` (HWC, RGB, uint8 or uint16; views where the store
    gives views), ``scale``, ``lq_path``, ``gt_path``, ``name``, ``index``, ``draw`` and ``rng``,
    a generator made from (seed, draw), which is the only source of randomness of a transform.

    Args:
        name: a set's name below ``data_root``, a path, or ``dict(gt=FOLDER, lq=FOLDER)`` (see
            :func:`superres.datasets.locate.locate`).
        data_root: where sets are looked for.
        scale: whole number by which ``gt`` is larger than ``lq``.
        pipeline: transforms.
        gt, lq: paths of the two sides, instead of what lies at ``name``.
        make_lq: 'auto' reads ``lq`` where it is there and makes it by the exact bicubic else;
            'bicubic' always makes it; 'none' leaves it to the pipeline. A ``dict(type='Degrade',
            ...)`` makes it of the whole picture, always in the same way: the random numbers are
            those of (seed, index). That is for validation.
        border: border rule of a bicubic that is made here.
        channels: 'rgb' or 'grey': what pictures are turned to, also packed ones.
        dtype: 'uint8' (16-bit files are reduced) or 'keep'.
        cache: keep the training set, decoded, in memory and make the batches there: 'gpu', 'cpu',
            or 'device' for the GPU where there is one. See
            :mod:`superres.datasets.device_cache`.
        check_pairs: whether a training first looks at a few pairs (:mod:`.pair_check`).
        seed: set by the engine from the run's seed.

    Raises:
        UserError: nothing there, an empty set, pictures without a partner, sizes that don't match.
    """

    def __init__(
        self,
        name: str | Mapping[str, Any] | None = None,
        data_root: str = ".",
        scale: int = 4,
        pipeline: list[dict[str, Any]] | None = None,
        gt: str | None = None,
        lq: str | None = None,
        make_lq: str | dict[str, Any] = "auto",
        border: str = "reflect",
        channels: str = "rgb",
        dtype: str = "uint8",
        cache: str | None = None,
        check_pairs: bool = True,
        seed: int = 0,
    ) -> None:
        self._degrade = TRANSFORMS.build(make_lq) if isinstance(make_lq, dict) else None
        if self._degrade is None and make_lq not in ("auto", "bicubic", "none"):
            raise UserError(
                f"PairedDataset: make_lq = {make_lq!r} must be auto, bicubic, none or "
                "dict(type='Degrade', ...)"
            )
        if gt is None and name is None:
            raise UserError("PairedDataset takes the name of a set, or gt (and lq) paths")
        self.notes: list[str] = []
        only = None
        if gt is None:
            found = locate(name, data_root, scale, needs_lq=make_lq == "auto" and lq is None)
            self.name, gt, lq, only = found.name, found.gt, lq or found.lq, found.only
            self.notes += found.notes
        else:
            self.name = name or Path(gt).name
        self.scale = scale
        self.seed = seed
        self.border = border
        self.make_lq = make_lq
        self.cache, self.check_pairs = cache, check_pairs
        self.gt: PictureStore = open_store(gt, channels=channels, dtype=dtype)
        self.lq: PictureStore | None = None
        if lq is not None and make_lq == "auto":
            self.lq = open_store(lq, channels=channels, dtype=dtype)
        self.lq_from = None if self.lq is None else str(lq)
        self.channels = channels
        for store in (self.gt, self.lq):
            if isinstance(store, ImageLmdb):
                store.as_channels = {"grey": 1, "rgb": 3}.get(channels)
        self.gt = self.gt if only is None else chosen(self.gt, only)
        self.lq_index = self._match() if self.lq is not None else None
        self._check_sizes()
        self.notes += self._unused()
        self.pipeline = Pipeline(pipeline)
        stores = [self.gt] if self.lq is None else [self.gt, self.lq]
        self._mapped = not self._degrade and all(isinstance(s, ImageLmdb) for s in stores)
        self._kept: dict[int, dict[str, Any]] = {}
        self._kept_pid = os.getpid()

    def __len__(self) -> int:
        return len(self.gt)

    def describe_sides(self) -> str:
        """Where both sides come from, for a run's start line."""
        if self.lq is not None:
            low = f"LR from {self.lq.path}"
        elif self.make_lq == "none":
            low = "LR made by the pipeline"
        elif self._degrade is not None:
            low = "LR made by the config's degradation"
        else:
            low = f"LR made by MATLAB's bicubic x{self.scale}"
        return f"{len(self)} images, HR from {self.gt.path}, {low}"

    def _unused(self) -> list[str]:
        """What of the low-quality side belongs to no ground truth."""
        if self.lq is None or len(self.lq) <= len(self.gt) or self.gt.is_part:
            return []
        more = len(self.lq) - len(self.gt)
        text = f"{more} of {len(self.lq)} images of {self.lq.path} have no partner and are not used"
        return [text]

    def _match(self) -> np.ndarray | None:
        """For each ground truth the number of its partner; None: the same number."""
        return match_names(self.gt, self.lq, self.scale)

    def _check_sizes(self) -> None:
        """Every pair fits: gt is scale times lq, or less than one low-quality pixel larger."""
        for i in range(len(self)):
            self._check_size(i)

    def _check_size(self, i: int) -> None:
        gt_shape = self.gt.shape_at(i)
        if min(gt_shape[:2]) < self.scale:
            raise UserError(
                f"{self.gt.path}: {self.gt.name_at(i)} is {gt_shape[1]}x{gt_shape[0]} pixels, "
                f"too small for scale {self.scale}"
            )
        if self.lq is None:
            return
        lq_shape = self.lq.shape_at(self.lq_number(i))
        rest = [g - q * self.scale for g, q in zip(gt_shape[:2], lq_shape[:2])]
        if not all(0 <= r < self.scale for r in rest):
            ratios = {round(g / q) for g, q in zip(gt_shape[:2], lq_shape[:2])}
            other = next(iter(ratios)) if len(ratios) == 1 else self.scale
            if gt_shape[0] < lq_shape[0]:
                hint = "The sides look swapped: gt is the larger one"
            elif gt_shape[:2] == lq_shape[:2]:
                hint = "Both sides are of one size"
            elif other != self.scale:
                hint = f"It looks like x{other}: set scale={other}, or give images of x{self.scale}"
            else:
                hint = "Do these two images belong together?"
            raise UserError(
                f"{self.lq.path}: {self.lq.name_at(self.lq_number(i))} is "
                f"{lq_shape[1]}x{lq_shape[0]}, and {self.gt.name_at(i)} in {self.gt.path} is "
                f"{gt_shape[1]}x{gt_shape[0]}: not {self.scale} times as large "
                f"({lq_shape[1] * self.scale}x{lq_shape[0] * self.scale} expected). "
                f"{hint}"
            )

    def too_small(self) -> list[int]:
        """The pictures that a transform of the pipeline cannot cut its patch from."""
        needs = [t.needs(self.scale) for t in self.pipeline.transforms if hasattr(t, "needs")]
        side = max(needs, default=0) * self.scale
        return [i for i in range(len(self)) if min(self.gt.shape_at(i)[:2]) < side] if side else []

    def lq_number(self, i: int) -> int:
        """The number in the ``lq`` store of the partner of ground truth ``i``."""
        return i if self.lq_index is None else int(self.lq_index[i])

    def lq_shape(self, i: int) -> tuple[int, int, int]:
        """The shape of the low-quality side of picture ``i``, without reading it."""
        if self.lq is not None:
            return self.lq.shape_at(self.lq_number(i))
        height, width, channels = self.gt.shape_at(i)
        return height // self.scale, width // self.scale, channels

    def load(self, i: int) -> tuple[Any, np.ndarray]:
        """(lq, gt) of picture ``i``; ``gt`` cropped to ``scale`` times ``lq``, top left."""
        gt = self.gt.read_at(i)
        if self.lq is not None:
            lq = self.lq.read_at(self.lq_number(i))
            gt = gt[: lq.shape[0] * self.scale, : lq.shape[1] * self.scale]
            if gt.shape[:2] != (lq.shape[0] * self.scale, lq.shape[1] * self.scale):
                raise UserError(
                    f"{self.gt.path}: {self.gt.name_at(i)} is {gt.shape[1]}x{gt.shape[0]}, "
                    f"smaller than {self.scale} times its partner ({lq.shape[1]}x{lq.shape[0]})"
                )
            return lq, gt
        gt = modcrop(gt, self.scale)
        if self.make_lq == "none":
            return None, gt
        if self._degrade is not None:
            sample = {"gt": gt, "scale": self.scale, "gt_path": self.gt.name_at(i)}
            return self._degrade({**sample, "rng": sample_generator(self.seed, i)})["lq"], gt
        return LazyBicubic(gt, self.scale, self.border), gt

    def describe(self, i: int, lq: Any, gt: Any) -> dict[str, Any]:
        """What is the same in every sample of picture ``i``, with these for its two sides."""
        name = self.gt.name_at(i)
        fixed = {
            "gt": gt,
            "scale": self.scale,
            "index": i,
            "name": name,
            "gt_path": f"{self.gt.path}/{name}",
        }
        if lq is not None:
            fixed["lq"] = lq
            store = self.gt if self.lq is None else self.lq
            fixed["lq_path"] = f"{store.path}/{store.name_at(self.lq_number(i))}"
        return fixed

    def _fixed(self, i: int) -> dict[str, Any]:
        """As :meth:`describe`; kept for the next draw where the pictures are memory-mapped.

        What is kept are views and names, never pixels, and of so many pictures at most.
        """
        if not self._mapped:
            return self.describe(i, *self.load(i))
        if self._kept_pid != os.getpid():  # a forked worker opens the packs for itself
            self._kept, self._kept_pid = {}, os.getpid()
        fixed = self._kept.get(i)
        if fixed is None:
            if len(self._kept) >= _KEEP:
                self._kept.clear()
            fixed = self._kept[i] = self.describe(i, *self.load(i))
        return fixed

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}

    def sample(self, key: SampleKey | int) -> dict[str, Any]:
        """The sample before the pipeline."""
        if not isinstance(key, tuple):
            key = SampleKey(int(key), int(key))
        draw = key[1]
        sample = self._fixed(key[0]).copy()
        sample["draw"] = draw
        sample["rng"] = sample_generator(self.seed, draw)
        return sample

    def __getitem__(self, key: SampleKey | int) -> dict[str, Any]:
        return self.pipeline(self.sample(key))
