"""What is looked at in every picture of a set; runs in worker processes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from superres.datasets.fingerprint import rgb8
from superres.datasets.storage import ImageLmdb, PictureStore
from superres.datasets.storage.folder import ImageFolder
from superres.datasets.verify.judge import judge
from superres.errors import UserError
from superres.imaging._cv2 import import_cv2

#: Side of the small grey picture by which look-alikes are found.
SIGNATURE = 16


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
        """Problems, verdicts, and what identifies the picture."""
        problems: list[dict[str, str]] = []
        result: dict[str, Any] = {"problems": problems, "verdicts": {}}
        gt = _read(self.gt, i, problems)
        if gt is not None:
            result |= {
                "channels": gt.shape[2],
                "bits": 8 * gt.dtype.itemsize,
                "size": gt.shape[:2],
                "hash": _hash(gt),
                "signature": signature(rgb8(gt)).tobytes().hex(),
            }
        name = self.gt.name_at(i)
        for side in self.sides:
            number = side.partner[i]
            if number < 0:
                continue
            lq = _read(side.store, number, problems)
            own = self.gt_at.get(side.scale)
            whole = gt if own is None else _read(own, own.index(name), problems)
            if lq is None or whole is None:
                continue
            where = label(side.store, number)
            whose = label(self.gt, i) if own is None else label(own, own.index(name))
            kinds = _compare_kinds(where, lq, whose, whole)
            problems += kinds
            if any(p["fault"] == "channels" and p["severity"] == "error" for p in kinds):
                continue  # it cannot be the bicubic, and that is no further fault
            if side.expected is None:
                _check_size(where, lq, whose, whole, side.scale, problems)
                continue
            verdict = judge(rgb8(lq), rgb8(whole), side.scale, side.expected)
            result["verdicts"][f"{side.kind} X{side.scale}"] = {
                "kind": verdict.kind,
                "convention": verdict.convention,
                "detail": verdict.detail,
                "differing": verdict.differing,
                "largest": verdict.largest,
                "file": where,
                "gt": whose,
            }
        return result


def label(store: PictureStore, i: int) -> str:
    """What messages call picture ``i``: its file, or its database and name."""
    if isinstance(store, ImageFolder):
        return str(store.file_at(i))
    return f"{store.path}: {store.name_at(i)}"


def problem(severity: str, fault: str, file: str, message: str) -> dict[str, str]:
    """One finding; ``severity`` is ``error`` or ``note``."""
    return {"severity": severity, "fault": fault, "file": file, "message": message}


def _read(store: PictureStore, i: int, problems: list[dict[str, str]]) -> np.ndarray | None:
    where = label(store, i)
    fault = "checksum" if isinstance(store, ImageLmdb) else "decode"
    try:
        image = store.read_verified_at(i)
    except (UserError, KeyError) as error:
        text = str(error.args[0])
        problems.append(problem("error", fault, where, text.removeprefix(f"{where}: ")))
        return None
    if image.shape[2] == 4:
        problems.append(
            problem("error", "channels", where, "has an alpha channel; training needs RGB or grey")
        )
    return image


def _compare_kinds(where: str, lq: np.ndarray, whose: str, gt: np.ndarray) -> list[dict[str, str]]:
    found = []
    if lq.dtype != gt.dtype:
        text = f"{8 * lq.dtype.itemsize} bits per sample, its ground truth {whose} has "
        text += f"{8 * gt.dtype.itemsize}"
        found.append(problem("error", "depth", where, text))
    if (lq.shape[2] == 1) != (gt.shape[2] == 1):
        grey, colour, pixels = (where, whose, gt) if lq.shape[2] == 1 else (whose, where, lq)
        if (pixels[..., :1] == pixels[..., :3]).all():
            text = f"grey, and {colour} is stored as RGB, though its colours are grey"
            found.append(problem("note", "channels", grey, text))
        else:
            text = f"grey, and its counterpart {colour} is RGB"
            found.append(problem("error", "channels", grey, text))
    return found


def _check_size(
    where: str,
    lq: np.ndarray,
    whose: str,
    gt: np.ndarray,
    scale: int,
    problems: list[dict[str, str]],
) -> None:
    rest = [g - scale * q for g, q in zip(gt.shape[:2], lq.shape[:2])]
    if not all(0 <= r < scale for r in rest):
        text = (
            f"it is {lq.shape[1]}x{lq.shape[0]}, and its ground truth {whose} is "
            f"{gt.shape[1]}x{gt.shape[0]}: not x{scale}"
        )
        problems.append(problem("error", "scale", where, text))


def _hash(image: np.ndarray) -> str:
    digest = hashlib.blake2b(repr((image.shape, image.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def signature(image: np.ndarray, side: int = SIGNATURE) -> np.ndarray:
    """(side, side) uint8: the picture as small grey fields, whatever its size and shape."""
    cv2 = import_cv2()
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
