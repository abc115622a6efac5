"""What is looked at in every picture of a set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from superres.datasets.fingerprint import rgb8
from superres.datasets.pairing import size_fault
from superres.datasets.storage import ImageLmdb, PictureStore
from superres.datasets.storage.folder import ImageFolder
from superres.datasets.verify.judge import GOOD, judge
from superres.datasets.verify.twins import pixel_hash, signature
from superres.errors import UserError

_FAULTS = {
    "rounding": "not the exact bicubic, off by rounding",
    "scale": "wrong scale",
    "content": "not the bicubic of its ground truth",
}


_Named = tuple[np.ndarray, str]


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


class Problems(list):
    """Findings, as they are written to JSON."""

    def add(self, severity: str, fault: str, file: str | Path, message: str) -> None:
        """Add one; ``severity`` is ``error`` or ``note``."""
        found = {"severity": severity, "fault": fault, "file": str(file), "message": message}
        self.append(found)


@dataclass
class Looked:
    """What was seen of one ground truth and its partners.

    Attributes:
        verdicts: (side's number, kind, convention) of the low-quality ones that were judged.
        kind: channels and bits per sample of the ground truth; None: it cannot be read.
        digest, small: what identifies it.
    """

    problems: Problems = field(default_factory=Problems)
    verdicts: list[tuple[int, str, str]] = field(default_factory=list)
    kind: tuple[int, int] | None = None
    digest: str = ""
    small: Any = None


@dataclass
class Inspect:
    """``inspect(i)`` looks at ground truth ``i`` and its partners."""

    gt: PictureStore
    gt_at: dict[int, PictureStore]
    sides: list[Side]

    def __call__(self, i: int) -> Looked:
        """What is seen."""
        looked = Looked()
        gt = _read(self.gt, i, looked.problems)
        if gt is not None:
            looked.kind = gt.shape[2], 8 * gt.dtype.itemsize
            looked.digest, looked.small = pixel_hash(gt), signature(gt)
        for number, side in enumerate(self.sides):
            if side.partner[i] < 0:
                continue
            own = self.gt_at.get(side.scale)
            store, at = (self.gt, i) if own is None else (own, own.index(self.gt.name_at(i)))
            lq = _read(side.store, side.partner[i], looked.problems)
            whole = gt if own is None else _read(own, at, looked.problems)
            if lq is None or whole is None:
                continue
            file, of = label(side.store, side.partner[i]), label(store, at)
            self._compare(looked, number, (lq, file), (whole, of))
        return looked

    def _compare(self, looked: Looked, number: int, low: _Named, high: _Named) -> None:
        """A low-quality picture of a side with its ground truth."""
        side, (lq, file), (gt, of) = self.sides[number], low, high
        if lq.dtype != gt.dtype:
            bits = 8 * lq.dtype.itemsize, 8 * gt.dtype.itemsize
            text = f"{bits[0]} bits per sample, its ground truth {of} has {bits[1]}"
            looked.problems.add("error", "depth", file, text)
        fault = size_fault(gt.shape, lq.shape, side.scale) if side.expected is None else ""
        kind = "scale" if fault else ""
        if side.expected is not None:
            verdict = judge(rgb8(lq), rgb8(gt), side.scale, side.expected)
            looked.verdicts.append((number, verdict.kind, verdict.convention))
            if verdict.kind not in GOOD:
                kind = verdict.kind
                fault = f"{_FAULTS.get(kind, 'not the bicubic')}: {verdict.detail}"
        if (lq.shape[2] == 1) != (gt.shape[2] == 1):
            grey, colour = (file, of) if lq.shape[2] == 1 else (of, file)
            # The grey of what is stored as RGB is the bicubic all the same.
            severity = "error" if fault or side.expected is None else "note"
            looked.problems.add(severity, "channels", grey, f"grey, and {colour} is RGB")
        elif fault:
            looked.problems.add("error", kind, file, f"{fault}; of {of}")


def label(store: PictureStore, i: int) -> str:
    """What messages call picture ``i``: its file, or its database and name."""
    if isinstance(store, ImageFolder):
        return str(store.file_at(i))
    return f"{store.path}: {store.name_at(i)}"


def _read(store: PictureStore, i: int, problems: Problems) -> np.ndarray | None:
    file = label(store, i)
    try:
        image = store.read_at(i)
    except (UserError, KeyError) as error:
        fault = "checksum" if isinstance(store, ImageLmdb) else "decode"
        problems.add("error", fault, file, str(error.args[0]).removeprefix(f"{file}: "))
        return None
    if image.shape[2] == 4:
        text = "has an alpha channel; training needs RGB or grey"
        problems.add("error", "channels", file, text)
    return image
