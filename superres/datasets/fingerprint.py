"""Which known convention made the low-quality pictures of a set.

Every convention is computed from the ground truth and compared sample by sample. One that differs
nowhere made them; MATLAB's two generations differ within two pixels of the border only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from superres.datasets.conventions import CONVENTIONS, ground_truth_for
from superres.datasets.pairing import match_names
from superres.datasets.storage import PictureStore, open_store
from superres.datasets.storage.pool import in_order
from superres.errors import UserError
from superres.imaging.io import read_image


def fingerprint_pair(lq: np.ndarray, gt: np.ndarray, scale: int) -> dict[str, tuple[int, int]]:
    """Compare one picture with every convention.

    Args:
        lq, gt: (h, w, 3) and (H, W, 3), uint8.

    Returns:
        Convention -> (number of differing samples, largest difference). Names that end in
        ``-uncropped`` are of the whole ground truth squeezed to the size of ``lq``, which people
        do where the sizes do not divide.

    Raises:
        UserError: ``lq`` is not ``scale`` times smaller.
    """
    size = lq.shape[:2]
    whole = ground_truth_for(gt, size, scale)
    divides = whole.shape[:2] == (size[0] * scale, size[1] * scale)
    found = {}
    signed = lq.astype(np.int16)
    for convention in CONVENTIONS:
        if divides or not convention.crops:
            found[convention.name] = _difference(signed, convention.make(whole, size))
    if divides and whole.shape != gt.shape:
        for convention in CONVENTIONS:
            if not convention.crops:
                found[f"{convention.name}-uncropped"] = _difference(
                    signed, convention.make(gt, size)
                )
    return found


def _difference(lq: np.ndarray, made: np.ndarray) -> tuple[int, int]:
    difference = np.abs(lq - made.astype(np.int16))
    return int(np.count_nonzero(difference)), int(difference.max())


def fingerprint(
    lq: str | Path,
    gt: str | Path,
    scale: int,
    *,
    limit: int | None = None,
    num_workers: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Compare the pictures of two folders, databases or files with every convention.

    Args:
        limit: look only at the first so many pictures.

    Returns:
        ``conventions``, the nearest first, each with ``differing`` samples, ``max``, and
        ``exact``, the number of pictures that it reproduces; ``verdict``, the names of those that
        reproduce everything (empty where there is none); ``pictures`` by name.

    Raises:
        UserError: pictures that cannot be read or do not fit together.
    """
    if scale < 2:
        raise UserError(f"--scale: a whole number from 2 on, not {scale}")
    read, names = _pairs(Path(lq), Path(gt), scale)
    work = partial(_compare, read, scale)
    names = names[:limit] if limit else names
    pictures = []
    totals: dict[str, list[int]] = {}
    samples = 0
    for i, result, fault in in_order(work, len(names), num_workers):
        if fault:
            raise UserError(f"{lq}, {names[i]}: {fault}")
        samples += result["samples"]
        exact = [name for name, (count, _) in result["found"].items() if count == 0]
        nearest = min(result["found"], key=lambda name: result["found"][name])
        pictures.append({"name": names[i], "exact": exact, "nearest": nearest})
        for name, (count, largest) in result["found"].items():
            total = totals.setdefault(name, [0, 0, 0, 0])
            total[0] += count
            total[1] = max(total[1], largest)
            total[2] += count == 0
            total[3] += 1
        if progress is not None:
            progress(i + 1, len(names), names[i])
    plain = {c.name: c.text for c in CONVENTIONS}
    rows = [
        {
            "name": name,
            "description": plain.get(name, plain.get(name.removesuffix("-uncropped"), ""))
            + (", picture not cropped" if name.endswith("-uncropped") else ""),
            "differing": count,
            "share": count / samples,
            "max": largest,
            "exact": exact,
            "pictures": seen,
        }
        for name, (count, largest, exact, seen) in totals.items()
        if seen == len(names) or exact
    ]
    rows.sort(key=lambda row: (-row["pictures"], row["differing"], row["max"]))
    return {
        "schema": 1,
        "command": "fingerprint",
        "lq": str(lq),
        "gt": str(gt),
        "scale": scale,
        "count": len(names),
        "samples": samples,
        "verdict": [row["name"] for row in rows if row["exact"] == len(names)],
        "conventions": rows,
        "pictures": pictures,
    }


def _compare(read: Callable[[int], Any], scale: int, i: int) -> dict[str, Any]:
    lq, gt = map(rgb8, read(i))
    return {"samples": lq.size, "found": fingerprint_pair(lq, gt, scale)}


def _from_files(lq: Path, gt: Path, _: int) -> tuple[np.ndarray, np.ndarray]:
    return read_image(lq), read_image(gt)


def _from_stores(
    lq: PictureStore, gt: PictureStore, partner: np.ndarray | None, i: int
) -> tuple[np.ndarray, np.ndarray]:
    return lq.read_at(i if partner is None else int(partner[i])), gt.read_at(i)


def _pairs(lq: Path, gt: Path, scale: int) -> tuple[Callable[[int], Any], list[str]]:
    """What reads a pair by its number, picklable, and the names of the pairs."""
    if lq.is_file() and gt.is_file():
        return partial(_from_files, lq, gt), [gt.stem]
    if lq.is_file() != gt.is_file():
        raise UserError(f"{lq} and {gt}: give two folders, two databases or two pictures.")
    low, high = open_store(lq), open_store(gt)
    return partial(_from_stores, low, high, match_names(high, low, scale)), list(high.names())


def rgb8(image: np.ndarray) -> np.ndarray:
    """Any stored picture as (H, W, 3) uint8: grey repeated, alpha dropped, 16 bits reduced."""
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return image[..., :3]
