"""What is looked at in every image of a set, and which images occur twice (a leak)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from superres.datasets.fingerprint import CONVENTIONS, fingerprint_pair, ground_truth_for, rgb8
from superres.datasets.pairing import alignment, middle, shift_text, size_fault
from superres.datasets.storage import ImageLmdb, ImageStore
from superres.errors import UserError
from superres.files import unreadable
from superres.imaging._cv2 import import_cv2

# Border rules change two low-quality samples; a third is for those that differ from both of ours.
_BORDER = 3
_ROUNDING_LEVELS = 2
_WINDOW = 192  # low-quality pixels: enough to try many things on
# of the samples may be a level off where a library is of another version
_SHARE = 0.02
_TRIED = 6
_MOVED = 0.4  # ground-truth pixels


class Verdict(NamedTuple):
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
    made = {}
    for name in ["matlab", "matlab-old"] if expected == "matlab" else [expected]:
        made[name] = CONVENTIONS[name].make(whole, size)
        # Libraries' versions differ by a level in what they blur and filter.
        alike = CONVENTIONS[name].family == "other" and _difference(made[name], lq) < _SHARE
        if alike or np.array_equal(made[name], lq):
            return Verdict("exact", convention=name)
    reference = made[expected]
    difference = np.abs(reference.astype(np.int16) - lq)
    inside = difference[_BORDER:-_BORDER, _BORDER:-_BORDER]
    if inside.size and not inside.any():
        return Verdict("border", f"exact, except within {_BORDER} samples of the border")
    if name := _known(lq, whole, scale, made):
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


def _known(lq: np.ndarray, whole: np.ndarray, scale: int, tried: Container[str]) -> str:
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
    """One low-quality side of a set, to :func:`.pairing.pairs_fault` a dataset.

    Attributes:
        gt: its ground truths.
        partners: number of the partner of each image of the set, -1 where there is none.
        expected: the convention that it claims, or None where it is not to be judged (a
            degradation that nobody knows).
        verdicts: of the pairs that were judged.
    """

    kind: str
    scale: int
    lq: ImageStore
    gt: ImageStore
    partners: list[int]
    expected: str | None
    verdicts: list[Verdict] = field(default_factory=list)
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


# Two different photographs hardly ever correlate so well.
_SAME = 0.985
_SIDE = 32


def pixel_hash(image: np.ndarray) -> str:
    """Of an image's shape, sample type and pixels."""
    digest = hashlib.blake2b(repr((image.shape, image.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def signature(image: np.ndarray) -> np.ndarray:
    """(32, 32) uint8: a stored image as small grey fields, whatever its size and shape."""
    cv2 = import_cv2()
    grey = cv2.cvtColor(np.ascontiguousarray(rgb8(image)), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)


class Identity:
    """What identifies the images of one store: hashes of their pixels, and small copies.

    Args:
        store: whose images are put in one by one, by threads; any may be left out.
    """

    def __init__(self, store: ImageStore) -> None:
        self.files = [store.label_at(i) for i in range(len(store))]
        self.hashes = np.full(len(store), "", "<U32")
        self.signatures = np.zeros((len(store), _SIDE, _SIDE), np.uint8)

    def put(self, i: int, image: np.ndarray) -> None:
        """Take in image ``i``."""
        self.hashes[i], self.signatures[i] = pixel_hash(image), signature(image)

    def duplicates(self) -> Iterator[tuple[str, str]]:
        """(file, file) with the same pixels."""
        first: dict[str, str] = {}
        for file, digest in zip(self.files, self.hashes.tolist()):
            if digest and first.setdefault(digest, file) != file:
                yield first[digest], file

    def leaks(self, test: Identity) -> Iterator[tuple[str, str, str]]:
        """(image, test image, how alike) for images that occur in both.

        Same pixels, or the same image saved again, resized, mirrored or turned.
        """
        ours = _normalised(self.signatures)
        for file, digest, small in zip(test.files, test.hashes.tolist(), test.signatures):
            views = [v[::y, ::x] for v in (small, small.T) for y in (1, -1) for x in (1, -1)]
            alike = (ours @ _normalised(views).T).max(axis=1)
            same = (self.hashes == digest) & bool(digest)
            for i in np.flatnonzero(same | (alike > _SAME)).tolist():
                how = f"the same image in another form (correlation {alike[i]:.4f})"
                yield self.files[i], file, "the same pixels" if same[i] else how


def _normalised(images: Sequence[np.ndarray]) -> np.ndarray:
    """A row each, of zero mean and unit length; an image of one colour is like nothing."""
    rows = np.reshape(images, (len(images), _SIDE * _SIDE)).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    # Fields of a nearly uniform image follow its noise, which says nothing.
    return np.where(length > 2.0 * _SIDE, rows / np.maximum(length, 1e-6), 0.0)


class Problems(list):
    """Findings, as they are written to JSON."""

    def add(self, severity: str, fault: str, file: str | Path, message: str) -> None:
        """Add one; ``severity`` is ``error`` or ``note``."""
        message = message.removeprefix(f"{file}: ")
        self.append({"severity": severity, "fault": fault, "file": str(file), "message": message})


def look(gt: ImageStore, sides: list[Side], identity: Identity, i: int) -> Problems:
    """What is wrong with ground truth ``i`` and its partners.

    Verdicts are added to the sides, and what identifies the image to ``identity``.
    """
    problems = Problems()
    image = _read(gt, i, problems)
    if image is not None:
        identity.put(i, image)
        if min(image.shape[:2]) < (scale := max((side.scale for side in sides), default=2)):
            text = f"{image.shape[1]}x{image.shape[0]} pixels, too small for scale {scale}"
            problems.add("error", "scale", gt.label_at(i), text)
    for side in sides:
        if side.partners[i] < 0:
            continue
        at = i if side.gt is gt else side.gt.index(gt.name_at(i))
        high = image if side.gt is gt else _read(side.gt, at, problems)
        low = _read(side.lq, side.partners[i], problems)
        if low is not None and high is not None:
            labels = side.lq.label_at(side.partners[i]), side.gt.label_at(at)
            _compare(side, low, high, *labels, problems)
    return problems


def _compare(
    side: Side, low: np.ndarray, high: np.ndarray, file: str, of: str, problems: Problems
) -> None:
    """Name what is wrong with a pair; its verdict is added to the side."""
    fault, text = "scale", size_fault(high.shape, low.shape, side.scale)
    if side.expected is not None:
        verdict = judge(rgb8(low), rgb8(high), side.scale, side.expected)
        side.verdicts.append(verdict)
        fault = verdict.kind
        text = "" if fault in ("exact", "border") else f"not the bicubic: {verdict.detail}"
    if low.dtype != high.dtype:
        bits = 8 * low.dtype.itemsize, 8 * high.dtype.itemsize
        what = f"{bits[0]} bits per sample, its ground truth {of} has {bits[1]}"
        problems.add("error", "depth", file, what)
    if (low.shape[2] == 1) != (high.shape[2] == 1):
        grey, colour = (file, of) if low.shape[2] == 1 else (of, file)
        # The grey of what is stored as RGB is the bicubic all the same.
        severity = "error" if text or side.expected is None else "note"
        problems.add(severity, "channels", grey, f"grey, and {colour} is RGB")
    elif text:
        problems.add("error", fault, file, f"{text}; of {of}")


def _read(store: ImageStore, i: int, problems: Problems) -> np.ndarray | None:
    label, file = store.label_at(i), store.file_at(i)
    try:
        return store.read_at(i)
    except UserError as error:
        fault = "checksum" if isinstance(store, ImageLmdb) else "decode"
        fault = "unreadable" if file and unreadable(file) else fault
        problems.add("error", fault, label, str(error))
        return None
