"""Whether a low-quality picture is the bicubic of its ground truth, and if not, what it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from superres.datasets.conventions import CONVENTIONS, Convention, by_name, ground_truth_for
from superres.datasets.pair_check import alignment
from superres.errors import UserError

#: Verdicts that are no fault.
GOOD = ("exact", "border")

# Border rules change two low-quality samples; a third is for those that differ from both of ours.
_BORDER = 3
_ROUNDING_LEVELS = 2
_WINDOW = 192
# of the samples may be a level off where a library is of another version
_SHARE = 0.02
_MOVED = 0.4  # ground-truth pixels


@dataclass(frozen=True)
class Verdict:
    """What a low-quality picture is.

    Attributes:
        kind: ``exact``; ``border`` (exact but for the outermost samples); ``rounding`` (MATLAB's
            kernel, off by rounding); ``kernel`` (another one, perhaps known by name); ``scale``
            (the size of another scale); ``shifted``; ``channels`` (red and blue swapped);
            ``content`` (another picture).
        convention: which known one, or empty.
        detail: in words, for a person.
        differing, largest: samples that differ from the exact bicubic, and by how much.
    """

    kind: str
    detail: str = ""
    convention: str = ""
    differing: int = 0
    largest: int = 0


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
    reference = None
    for name in wanted:
        made = by_name(name).make(whole, size)
        # Libraries' versions differ by a level in what they blur and filter.
        alike = by_name(name).family == "other" and _mean_difference(made, lq) < _SHARE
        if alike or np.array_equal(made, lq):
            return Verdict("exact", convention=name)
        reference = made if reference is None else reference
    difference = np.abs(reference.astype(np.int16) - lq)
    found = {
        "differing": int(np.count_nonzero(difference)),
        "largest": int(difference.max()),
    }
    inside = difference[_BORDER:-_BORDER, _BORDER:-_BORDER]
    if inside.size and not inside.any():
        return Verdict("border", "exact, except within 3 samples of the border", **found)
    known = _known(lq, whole, size, wanted)
    if known is not None:
        kind = "rounding" if known.family == "rounding" else "kernel"
        kind = "kernel" if expected != "matlab" else kind
        text = f"made by {known.name} ({known.text})"
        return Verdict(kind, text, known.name, **found)
    if np.array_equal(reference[..., ::-1], lq):
        return Verdict("channels", "red and blue are swapped", **found)
    fault, shift = "", None
    if whole.shape[:2] == (size[0] * scale, size[1] * scale):
        fault, shift = alignment(*_middle(lq, whole), scale)
    if shift is not None and abs(shift).max() > _MOVED:
        down, right = (0.0 - shift.round(1)).tolist()
        text = f"shifted by {down:g} down and {right:g} right (in ground-truth pixels)"
        return Verdict("shifted", text, **found)
    if found["largest"] <= _ROUNDING_LEVELS:
        return Verdict("rounding", f"off by at most {found['largest']} levels", **found)
    if fault:
        return Verdict("content", f"another picture, or another part of it: it {fault}", **found)
    return Verdict("kernel", f"by no known kernel (up to {found['largest']} levels off)", **found)


def _known(
    lq: np.ndarray, whole: np.ndarray, size: tuple[int, int], tried: list[str]
) -> Convention | None:
    """The known convention that made ``lq``, to one level (libraries' versions differ so much)."""
    divides = whole.shape[0] % size[0] == 0 and whole.shape[1] % size[1] == 0
    part, of_gt = _middle(lq, whole)
    inside = (slice(_BORDER, -_BORDER),) * 2 if part is not lq else (slice(None),) * 2
    best, least = None, _SHARE
    for convention in CONVENTIONS:
        if convention.name in tried or (convention.crops and not divides):
            continue
        fits = _mean_difference(convention.make(of_gt, part.shape[:2])[inside], part[inside])
        if fits < _SHARE and part is not lq:  # some differ from each other at the border only
            fits = _mean_difference(convention.make(whole, size), lq)
        if fits < least:
            best, least = convention, fits
    return best


def _mean_difference(made: np.ndarray, lq: np.ndarray) -> float:
    """In levels; infinite where any sample is more than one level off."""
    difference = np.abs(made.astype(np.int16) - lq)
    return float(difference.mean()) if difference.max() <= 1 else math.inf


def _middle(lq: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle of a large pair: enough to try many things on. A small one as it is.

    Its borders are not those of the picture, so what is made of it differs near them.
    """
    height, width = lq.shape[:2]
    scale = whole.shape[0] // height
    if max(height, width) <= _WINDOW or whole.shape[:2] != (height * scale, width * scale):
        return lq, whole
    h, w = min(height, _WINDOW), min(width, _WINDOW)
    top, left = (height - h) // 2, (width - w) // 2
    rows, columns = slice(top * scale, (top + h) * scale), slice(left * scale, (left + w) * scale)
    return lq[top : top + h, left : left + w], whole[rows, columns]
