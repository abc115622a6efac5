"""What is looked at in every picture of a set; runs in worker processes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superres.datasets.fingerprint import rgb8
from superres.datasets.storage import ImageLmdb, PictureStore
from superres.datasets.storage.folder import ImageFolder
from superres.datasets.verify.judge import GOOD, judge
from superres.errors import UserError
from superres.imaging._cv2 import import_cv2

#: Side of the small grey picture by which look-alikes are found.
SIGNATURE = 16

_FAULTS = {
    "rounding": "not the exact bicubic, off by rounding",
    "scale": "wrong scale",
    "content": "not the bicubic of its ground truth",
}


@dataclass
class Side:
    """One low-quality side of a set.

    Attributes:
        partner: number of each ground truth's partner, -1 where there is none.
        expected: the convention that it claims, or None where it is not to be judged (a
            degradation that nobody knows).
    """

    kind: str
    scale: int
    store: PictureStore
    partner: list[int]
    expected: str | None


class Inspect:
    """Picklable: ``inspect(i)`` looks at ground truth ``i`` and its partners."""

    def __init__(self, gt: PictureStore, gt_at: dict[int, PictureStore], sides: list[Side]) -> None:
        self.gt, self.gt_at, self.sides = gt, gt_at, sides

    def __call__(self, i: int) -> dict[str, Any]:
        """Problems, (side, verdict) of the low-quality ones, and what identifies the picture."""
        problems = Problems()
        result: dict[str, Any] = {"problems": problems, "verdicts": []}
        gt = _read(self.gt, i, problems)
        if gt is not None:
            result |= {
                "channels": gt.shape[2],
                "bits": 8 * gt.dtype.itemsize,
                "hash": _hash(gt),
                "signature": signature(rgb8(gt)).ravel(),
            }
        for side in self.sides:
            number = side.partner[i]
            if number < 0:
                continue
            own = self.gt_at.get(side.scale)
            store, at = (self.gt, i) if own is None else (own, own.index(self.gt.name_at(i)))
            lq = _read(side.store, number, problems)
            whole = gt if own is None else _read(own, at, problems)
            if lq is None or whole is None:
                continue
            where, whose = label(side.store, number), label(store, at)
            if not _same_kind(where, lq, whose, whole, problems):
                continue  # it cannot be the bicubic, and that is no further fault
            if side.expected is None:
                _check_size(where, lq, whose, whole, side.scale, problems)
                continue
            verdict = judge(rgb8(lq), rgb8(whole), side.scale, side.expected)
            found = (verdict.kind, verdict.convention)
            result["verdicts"].append(((side.kind, side.scale), found))
            if verdict.kind not in GOOD:
                text = (
                    f"{_FAULTS.get(verdict.kind, 'not the bicubic')}: {verdict.detail}; of {whose}"
                )
                problems.add("error", verdict.kind, where, text)
        return result


class Problems(list):
    """Findings, as they are written to JSON."""

    def add(self, severity: str, fault: str, file: str | Path, message: str) -> None:
        """Add one; ``severity`` is ``error`` or ``note``."""
        found = {"severity": severity, "fault": fault, "file": str(file), "message": message}
        self.append(found)


def label(store: PictureStore, i: int) -> str:
    """What messages call picture ``i``: its file, or its database and name."""
    if isinstance(store, ImageFolder):
        return str(store.file_at(i))
    return f"{store.path}: {store.name_at(i)}"


def _read(store: PictureStore, i: int, problems: Problems) -> np.ndarray | None:
    where = label(store, i)
    try:
        image = store.read_at(i)
    except (UserError, KeyError) as error:
        fault = "checksum" if isinstance(store, ImageLmdb) else "decode"
        problems.add("error", fault, where, str(error.args[0]).removeprefix(f"{where}: "))
        return None
    if image.shape[2] == 4:
        text = "has an alpha channel; training needs RGB or grey"
        problems.add("error", "channels", where, text)
    return image


def _same_kind(where: str, lq: np.ndarray, whose: str, gt: np.ndarray, problems: Problems) -> bool:
    """Whether the channels of a pair fit; what does not is told."""
    if lq.dtype != gt.dtype:
        text = f"{8 * lq.dtype.itemsize} bits per sample, its ground truth {whose} has "
        problems.add("error", "depth", where, f"{text}{8 * gt.dtype.itemsize}")
    if (lq.shape[2] == 1) == (gt.shape[2] == 1):
        return True
    grey, colour, pixels = (where, whose, gt) if lq.shape[2] == 1 else (whose, where, lq)
    if (pixels[..., :1] == pixels[..., :3]).all():
        text = f"grey, and {colour} is stored as RGB, though its colours are grey"
        problems.add("note", "channels", grey, text)
        return True
    problems.add("error", "channels", grey, f"grey, and its counterpart {colour} is RGB")
    return False


def _check_size(
    where: str, lq: np.ndarray, whose: str, gt: np.ndarray, scale: int, problems: Problems
) -> None:
    if not all(0 <= g - scale * q < scale for g, q in zip(gt.shape[:2], lq.shape[:2])):
        text = (
            f"it is {lq.shape[1]}x{lq.shape[0]}, and its ground truth {whose} is "
            f"{gt.shape[1]}x{gt.shape[0]}: not x{scale}"
        )
        problems.add("error", "scale", where, text)


def _hash(image: np.ndarray) -> str:
    digest = hashlib.blake2b(repr((image.shape, image.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def signature(image: np.ndarray, side: int = SIGNATURE) -> np.ndarray:
    """(side, side) uint8: the picture as small grey fields, whatever its size and shape."""
    cv2 = import_cv2()
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
