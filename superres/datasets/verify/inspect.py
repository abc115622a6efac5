"""What is looked at in every image of a set."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from superres.datasets.fingerprint import CONVENTIONS, fingerprint_pair, ground_truth_for, rgb8
from superres.datasets.pair_check import alignment, middle, shift_text
from superres.datasets.pairing import size_fault
from superres.datasets.storage import ImageLmdb, ImageStore
from superres.datasets.verify.leakage import pixel_hash, signature
from superres.errors import UserError
from superres.files import unreadable

#: Verdicts that are no fault.
GOOD = ("exact", "border")

# Border rules change two low-quality samples; a third is for those that differ from both of ours.
_BORDER = 3
_ROUNDING_LEVELS = 2
_WINDOW = 192  # low-quality pixels: enough to try many things on
# of the samples may be a level off where a library is of another version
_SHARE = 0.02
_TRIED = 6
_MOVED = 0.4  # ground-truth pixels


@dataclass(frozen=True)
class Verdict:
    """What a low-quality image is.

    Attributes:
        kind: ``exact``; ``border`` (exact but for the outermost samples); ``rounding`` (MATLAB's
            kernel, off by rounding); ``kernel`` (another one, perhaps known by name); ``scale``
            (the size of another scale); ``shifted``; ``channels`` (red and blue swapped);
            ``content`` (another image).
        detail: in words, for a person.
        convention: which known one, or empty.
    """

    kind: str
    detail: str = ""
    convention: str = ""


def judge(lq: np.ndarray, gt: np.ndarray, scale: int, expected: str = "matlab") -> Verdict:
    """Compare a pair.

    Args:
        lq, gt: (h, w, 3) and (H, W, 3), uint8.
        expected: the convention that the set claims; ``matlab`` takes both border rules.
    """
    size = lq.shape[:2]
    try:
        whole = ground_truth_for(gt, size, scale)
    except UserError as error:
        return Verdict("scale", str(error))
    wanted = ["matlab", "matlab-old"] if expected == "matlab" else [expected]
    reference = CONVENTIONS[wanted[0]].make(whole, size)
    for name in wanted:
        made = reference if name == wanted[0] else CONVENTIONS[name].make(whole, size)
        # Libraries' versions differ by a level in what they blur and filter.
        alike = CONVENTIONS[name].family == "other" and _difference(made, lq) < _SHARE
        if alike or np.array_equal(made, lq):
            return Verdict("exact", convention=name)
    difference = np.abs(reference.astype(np.int16) - lq)
    inside = difference[_BORDER:-_BORDER, _BORDER:-_BORDER]
    if inside.size and not inside.any():
        return Verdict("border", f"exact, except within {_BORDER} samples of the border")
    if name := _known(lq, whole, scale, wanted):
        way = CONVENTIONS[name]
        kind = "rounding" if way.family == "rounding" and expected == "matlab" else "kernel"
        return Verdict(kind, f"made by {name} ({way.text})", name)
    if np.array_equal(reference[..., ::-1], lq):
        return Verdict("channels", "red and blue are swapped")
    fault, shift = "", None
    if whole.shape[:2] == (size[0] * scale, size[1] * scale):
        fault, shift = alignment(*middle(lq, whole, scale, _WINDOW), scale)
    if shift is not None and abs(shift).max() > _MOVED:
        return Verdict("shifted", shift_text(shift))
    if (largest := int(difference.max())) <= _ROUNDING_LEVELS:
        return Verdict("rounding", f"off by at most {largest} levels")
    if fault:
        return Verdict("content", f"another image, or another part of it: it {fault}")
    return Verdict("kernel", f"by no known kernel (up to {largest} levels off)")


def _known(lq: np.ndarray, whole: np.ndarray, scale: int, tried: list[str]) -> str:
    """The known convention that made ``lq``, to one level (libraries' versions differ so much)."""
    # Its borders are not those of the image, so it only tells what is worth trying on the whole.
    found = fingerprint_pair(*middle(lq, whole, scale, _WINDOW), scale)
    near = sorted((name for name in found if name not in tried), key=found.get)[:_TRIED]
    fits = {n: _difference(CONVENTIONS[n].make(whole, lq.shape[:2]), lq) for n in near}
    best = min(fits, key=fits.get)
    return best if fits[best] < _SHARE else ""


def _difference(made: np.ndarray, lq: np.ndarray) -> float:
    """The mean, in levels; infinite where any sample is more than one level off."""
    difference = np.abs(made.astype(np.int16) - lq)
    return float(difference.mean()) if difference.max() <= 1 else math.inf


@dataclass
class Side:
    """One low-quality side of a set, to :func:`.pair_check.pairs_fault` a dataset.

    Attributes:
        gt: its ground truths.
        partners: number of the partner of each image of the set, -1 where there is none.
        expected: the convention that it claims, or None where it is not to be judged (a
            degradation that nobody knows).
    """

    kind: str
    scale: int
    lq: ImageStore
    gt: ImageStore
    partners: list[int]
    expected: str | None
    notes: list[str] = field(default_factory=list)
    check_pairs: bool = True

    def load(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """(lq, gt) of ground truth ``i``.

        Raises:
            UserError: they cannot be read, or are no pair, which :func:`look` names.
        """
        at, size = self.partners[i], self.gt.shape_at(i)
        if at < 0 or size_fault(size, self.lq.shape_at(at), self.scale):
            raise UserError(f"{self.gt.label_at(i)}: has no partner")
        return rgb8(self.lq.read_at(at)), rgb8(self.gt.read_at(i))


class Problems(list):
    """Findings, as they are written to JSON."""

    def add(self, severity: str, fault: str, file: str | Path, message: str) -> None:
        """Add one; ``severity`` is ``error`` or ``note``."""
        message = message.removeprefix(f"{file}: ")
        self.append({"severity": severity, "fault": fault, "file": str(file), "message": message})


@dataclass
class Seen:
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
    small: np.ndarray | None = None


def look(gt: ImageStore, sides: list[Side], i: int) -> Seen:
    """Look at ground truth ``i`` and its partners."""
    seen = Seen()
    image = _read(gt, i, seen.problems)
    if image is not None:
        seen.kind = image.shape[2], 8 * image.dtype.itemsize
        seen.digest, seen.small = pixel_hash(image), signature(image)
        if min(image.shape[:2]) < (scale := max((side.scale for side in sides), default=2)):
            text = f"{image.shape[1]}x{image.shape[0]} pixels, too small for scale {scale}"
            seen.problems.add("error", "scale", gt.label_at(i), text)
    for number, side in enumerate(sides):
        if side.partners[i] < 0:
            continue
        at = i if side.gt is gt else side.gt.index(gt.name_at(i))
        high = image if side.gt is gt else _read(side.gt, at, seen.problems)
        low = _read(side.lq, side.partners[i], seen.problems)
        if low is None or high is None:
            continue
        file, of = side.lq.label_at(side.partners[i]), side.gt.label_at(at)
        verdict = None
        if side.expected is not None:
            verdict = judge(rgb8(low), rgb8(high), side.scale, side.expected)
            seen.verdicts.append((number, verdict.kind, verdict.convention))
        kind, fault = "scale", size_fault(high.shape, low.shape, side.scale)
        if verdict is not None:
            kind = verdict.kind
            fault = "" if kind in GOOD else f"not the bicubic: {verdict.detail}"
        if low.dtype != high.dtype:
            bits = 8 * low.dtype.itemsize, 8 * high.dtype.itemsize
            text = f"{bits[0]} bits per sample, its ground truth {of} has {bits[1]}"
            seen.problems.add("error", "depth", file, text)
        if (low.shape[2] == 1) != (high.shape[2] == 1):
            grey, colour = (file, of) if low.shape[2] == 1 else (of, file)
            # The grey of what is stored as RGB is the bicubic all the same.
            severity = "error" if fault or verdict is None else "note"
            seen.problems.add(severity, "channels", grey, f"grey, and {colour} is RGB")
        elif fault:
            seen.problems.add("error", kind, file, f"{fault}; of {of}")
    return seen


def _read(store: ImageStore, i: int, problems: Problems) -> np.ndarray | None:
    label, file = store.label_at(i), store.file_at(i)
    try:
        image = store.read_at(i)
    except UserError as error:
        fault = "checksum" if isinstance(store, ImageLmdb) else "decode"
        fault = "unreadable" if file and unreadable(file) else fault
        problems.add("error", fault, label, str(error))
        return None
    if image.shape[2] == 4:
        text = "has an alpha channel; training needs RGB or grey"
        problems.add("error", "channels", label, text)
    return image
