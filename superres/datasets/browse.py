"""A contact sheet of what the network sees: after the pipeline, as the batches hold it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from superres.datasets.batches import collate
from superres.datasets.fingerprint import rgb8
from superres.datasets.sampler import IterationSampler
from superres.datasets.transforms.degrade import to_uint8
from superres.errors import UserError
from superres.imaging._cv2 import import_cv2

_GAP, _TEXT = 8, 30
_BACK, _INK = 255, (40, 40, 40)


def first_pairs(
    dataset: Dataset, global_batch_size: int, seed: int, iteration: int, count: int
) -> list[dict[str, Any]]:
    """The samples that training sees from ``iteration`` on: ``lq``, ``gt`` (HWC) and ``meta``.

    Every draw is a function of (seed, iteration), so these are the very samples, in their order.
    Pictures that are smaller than the patch are left out, as in training.

    Raises:
        UserError: all pictures are smaller than the patch.
    """
    # Training leaves these out too, which moves all draws.
    skip = dataset.too_small() if hasattr(dataset, "too_small") else []
    if skip and len(skip) == len(dataset):
        raise UserError(
            f"{dataset.gt.path}: every picture is smaller than the patch; lower lq_patch_size (or "
            "gt_patch_size), or take larger pictures"
        )
    sampler = IterationSampler.of(dataset, global_batch_size, seed, start=iteration, skip=skip)
    batches = (collate([dataset[key]]) for keys in sampler for key in keys)
    return [
        {
            "lq": batch["inputs"][0].numpy(),
            "gt": batch["gt"][0].numpy() if "gt" in batch else None,
            "meta": batch["meta"][0],
        }
        for batch in itertools.islice(batches, count)
    ]


def contact_sheet(pairs: Sequence[dict[str, Any]], columns: int | None = None) -> np.ndarray:
    """Pairs side by side, low quality (enlarged by repeating pixels) and ground truth, captioned.

    Args:
        pairs: from :func:`first_pairs`.
        columns: pairs per row; about as wide as high where None.

    Returns:
        (H, W, 3) uint8.
    """
    tiles = [_tile(pair) for pair in pairs]
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    columns = columns or max(1, round(math.sqrt(len(tiles) * height / width)))
    tiles = [_padded(tile, height + _GAP, width + _GAP) for tile in tiles]
    tiles += [np.full_like(tiles[0], _BACK)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.pad(np.vstack(rows), ((_GAP, 0), (_GAP, 0), (0, 0)), constant_values=_BACK)


def _padded(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture with white below and to the right."""
    more = ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0))
    return np.pad(picture, more, constant_values=_BACK)


def _tile(pair: dict[str, Any]) -> np.ndarray:
    cv2 = import_cv2()
    meta, scale = pair["meta"], pair["meta"].get("scale", 1)
    shown = [np.repeat(np.repeat(_shown(pair["lq"]), scale, 0), scale, 1)]
    if pair["gt"] is not None:
        shown.append(_shown(pair["gt"]))
    height = max(picture.shape[0] for picture in shown)
    parts = [_padded(picture, height + _TEXT, picture.shape[1] + _GAP) for picture in shown]
    tile = np.ascontiguousarray(np.hstack(parts)[:, :-_GAP])
    place = f"top {meta['top']} left {meta['left']} " if "top" in meta else ""
    lines = [str(meta.get("name", "")), f"{place}view {meta.get('view', 0)} x{scale}"]
    for i, line in enumerate(lines):
        # OpenCV's built-in letters are ASCII only; other names show question marks.
        text = line.encode("ascii", "replace").decode()
        at = (0, height + 12 + 14 * i)
        cv2.putText(tile, text, at, cv2.FONT_HERSHEY_PLAIN, 0.9, _INK, 1, cv2.LINE_AA)
    return tile


def _shown(picture: np.ndarray) -> np.ndarray:
    """Any picture as RGB uint8: floats are [0, 1], 16 bits are reduced, grey is repeated."""
    return rgb8(picture if picture.dtype.kind == "u" else to_uint8(picture * 255))
