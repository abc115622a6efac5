"""A contact sheet of what the network sees: after the pipeline, as the batches hold it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from superres.datasets.loader import collate
from superres.datasets.sampler import IterationSampler
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
    pairs: list[dict[str, Any]] = []
    for keys in sampler:
        batch = collate([dataset[key] for key in keys[: count - len(pairs)]])
        for i, meta in enumerate(batch["meta"]):
            gt = batch["gt"][i].numpy() if "gt" in batch else None
            pairs.append({"lq": batch["inputs"][i].numpy(), "gt": gt, "meta": meta})
        if len(pairs) >= count:
            return pairs
    return pairs


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
    rows = -(-len(tiles) // columns)
    shape = rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3
    sheet = np.full(shape, _BACK, np.uint8)
    for i, tile in enumerate(tiles):
        top = _GAP + i // columns * (height + _GAP)
        left = _GAP + i % columns * (width + _GAP)
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def _tile(pair: dict[str, Any]) -> np.ndarray:
    cv2 = import_cv2()
    lq, gt, meta = _shown(pair["lq"]), pair["gt"], pair["meta"]
    scale = meta.get("scale", 1)
    enlarged = np.repeat(np.repeat(lq, scale, 0), scale, 1)
    shown = [enlarged] if gt is None else [enlarged, _shown(gt)]
    height = max(picture.shape[0] for picture in shown)
    width = sum(picture.shape[1] for picture in shown) + _GAP * (len(shown) - 1)
    tile = np.full((height + _TEXT, width, 3), _BACK, np.uint8)
    left = 0
    for picture in shown:
        tile[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + _GAP
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
    if picture.dtype == np.uint16:
        picture = ((picture.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif picture.dtype != np.uint8:
        picture = np.clip(np.floor(picture * 255 + 0.5), 0, 255).astype(np.uint8)
    return np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture[..., :3]
