"""Which known convention made the low-quality pictures of a set.

Every convention is computed from the ground truth and compared sample by sample. One that differs
nowhere made them; MATLAB's two generations differ within two pixels of the border only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from superres.datasets.conventions import CONVENTIONS, ground_truth_for
from superres.datasets.pairing import match_names
from superres.datasets.storage import open_store
from superres.datasets.storage.pool import in_order
from superres.errors import UserError
from superres.imaging.io import read_image

_UNCROPPED = "-uncropped"


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
    ways = {
        name: (way.make, whole) for name, way in CONVENTIONS.items() if divides or not way.crops
    }
    if divides and whole.shape != gt.shape:
        uncropped = [(name, way) for name, way in CONVENTIONS.items() if not way.crops]
        ways |= {f"{name}{_UNCROPPED}": (way.make, gt) for name, way in uncropped}
    found = {}
    for name, (make, image) in ways.items():
        difference = np.abs(lq.astype(np.int16) - make(image, size))
        found[name] = int(np.count_nonzero(difference)), int(difference.max())
    return found


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
    lq, gt = Path(lq), Path(gt)
    if lq.is_file() != gt.is_file():
        raise UserError(f"{lq} and {gt}: give two folders, two databases or two pictures.")
    low, high = (p if p.is_file() else open_store(p) for p in (lq, gt))
    single = isinstance(high, Path)
    names = [high.stem] if single else list(high.names())[:limit]
    partner = [0] if single else match_names(high, low, scale)
    pictures = []
    totals: dict[str, np.ndarray] = {}
    samples = 0

    def work(i: int) -> tuple[int, dict[str, tuple[int, int]]]:
        sides = (low, i if partner is None else int(partner[i])), (high, i)
        pair = [read_image(s) if isinstance(s, Path) else s.read_at(n) for s, n in sides]
        small, large = map(rgb8, pair)
        return small.size, fingerprint_pair(small, large, scale)

    for i, result, fault in in_order(work, len(names), num_workers):
        if fault:
            raise UserError(f"{lq}, {names[i]}: {fault}")
        size, found = result
        samples += size
        exact = [name for name, (count, _) in found.items() if count == 0]
        pictures.append({"name": names[i], "exact": exact, "nearest": min(found, key=found.get)})
        for name, (count, largest) in found.items():
            total = totals.setdefault(name, np.zeros(4, np.int64))
            total += count, 0, count == 0, 1
            total[1] = max(total[1], largest)
        if progress is not None:
            progress(i + 1, len(names), names[i])
    rows = []
    for name, total in totals.items():
        differing, largest, exact, seen = total.tolist()
        if seen < len(names) and not exact:
            continue
        row = {"name": name, "description": CONVENTIONS[name.removesuffix(_UNCROPPED)].text}
        row["description"] += ", picture not cropped" if name.endswith(_UNCROPPED) else ""
        row |= {"differing": differing, "share": differing / samples, "max": largest}
        rows.append(row | {"exact": exact, "pictures": seen})
    rows.sort(key=lambda row: (-row["pictures"], row["differing"], row["max"]))
    return {
        **{"schema": 1, "command": "fingerprint", "lq": str(lq), "gt": str(gt), "scale": scale},
        **{"count": len(names), "samples": samples, "conventions": rows, "pictures": pictures},
        "verdict": [row["name"] for row in rows if row["exact"] == len(names)],
    }


def rgb8(image: np.ndarray) -> np.ndarray:
    """Any stored picture as (H, W, 3) uint8: grey repeated, alpha dropped, 16 bits reduced."""
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return image[..., :3]
