"""Whether a low-quality picture is the bicubic of its ground truth, and if not, what it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from superres.datasets.conventions import CONVENTIONS, ground_truth_for
from superres.datasets.fingerprint import fingerprint_pair
from superres.datasets.pair_check import alignment, middle, shift_text
from superres.errors import UserError

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
    """What a low-quality picture is.

    Attributes:
        kind: ``exact``; ``border`` (exact but for the outermost samples); ``rounding`` (MATLAB's
            kernel, off by rounding); ``kernel`` (another one, perhaps known by name); ``scale``
            (the size of another scale); ``shifted``; ``channels`` (red and blue swapped);
            ``content`` (another picture).
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
        return Verdict("content", f"another picture, or another part of it: it {fault}")
    return Verdict("kernel", f"by no known kernel (up to {largest} levels off)")


def _known(lq: np.ndarray, whole: np.ndarray, scale: int, tried: list[str]) -> str:
    """The known convention that made ``lq``, to one level (libraries' versions differ so much)."""
    # Its borders are not those of the picture, so it only tells what is worth trying on the whole.
    found = fingerprint_pair(*middle(lq, whole, scale, _WINDOW), scale)
    near = sorted((name for name in found if name not in tried), key=found.get)[:_TRIED]
    fits = {n: _difference(CONVENTIONS[n].make(whole, lq.shape[:2]), lq) for n in near}
    best = min(fits, key=fits.get)
    return best if fits[best] < _SHARE else ""


def _difference(made: np.ndarray, lq: np.ndarray) -> float:
    """The mean, in levels; infinite where any sample is more than one level off."""
    difference = np.abs(made.astype(np.int16) - lq)
    return float(difference.mean()) if difference.max() <= 1 else math.inf
