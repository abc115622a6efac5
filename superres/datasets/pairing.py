"""Which low-quality image belongs to which ground truth, by its name; and whether it does.

Sizes and names are right where somebody shuffled one side, cut it a pixel further on, or took
another crop; the network then learns blur. So a few low-quality images are laid over their
ground truths, reduced by plain means: they must fit where they lie better than elsewhere. Blur,
noise and JPEG make that weaker, but do not move the place. Flat images, negatives and swapped
channels are named.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from functools import partial
from typing import Any

import numpy as np

from superres.errors import UserError, some
from superres.imaging._cv2 import import_cv2

from .storage import ImageStore

# How the low-quality side is named in the sets in circulation; {n} is the ground truth's name.
TEMPLATES = ("{n}", "{n}x{s}", "{n}_x{s}", "{n}_LR_x{s}", "{n}_LR", "{n}LRBI_x{s}", "{n}x{s}m")
TEMPLATES += ("{n}_LRBD_x{s}", "{n}LRBD_x{s}")

Rename = Callable[[str], str]
"""The name of the low-quality image that belongs to a high-quality one's name; '' for none."""

_WORD = re.compile(r"([^A-Za-z0-9]+)")
_TRIED = 50  # low-quality names that are compared with the first high-quality one


def _renames(gt: list[str], lq: list[str], scale: int) -> Iterator[Rename]:
    """The known ways to name the two sides, then what the names themselves suggest.

    That is another spelling of the same letters (macOS), one word that differs (``a_hr_1`` and
    ``a_lr_1``), or one prefix or suffix that all names share.
    """
    for template in TEMPLATES:
        yield lambda name, template=template: template.format(n=name, s=scale)
    yield partial(unicodedata.normalize, "NFC")
    yield partial(unicodedata.normalize, "NFD")
    first = gt[0]
    # The partner of the first name is at the start where sorting agrees, else anywhere.
    holding = itertools.islice((name for name in lq if first in name), _TRIED)
    suggested: dict[tuple[str, ...], None] = {}
    for other in [*lq[:_TRIED], *holding]:
        words, others = _WORD.split(first), _WORD.split(other)
        changed = [i for i, (a, b) in enumerate(zip(words, others)) if a != b]
        if len(words) == len(others) > 1 and len(changed) == 1:
            i = changed[0]
            suggested[str(i), words[i], others[i]] = None
        match = SequenceMatcher(None, first, other, autojunk=False).find_longest_match()
        if match.size:
            ends = first[: match.a], first[match.a + match.size :]
            suggested[(*ends, other[: match.b], other[match.b + match.size :])] = None
    for rule in suggested:
        yield partial(_by_word if len(rule) == 3 else _by_affixes, rule)


def _by_word(rule: tuple[str, str, str], name: str) -> str:
    """``name`` with one of its words replaced."""
    at, word, instead = int(rule[0]), *rule[1:]
    words = _WORD.split(name)
    return "".join([*words[:at], instead, *words[at + 1 :]]) if words[at : at + 1] == [word] else ""


def _by_affixes(rule: tuple[str, str, str, str], name: str) -> str:
    """``name`` with other ends."""
    before, behind, new_before, new_behind = rule
    fits = name.startswith(before) and name.endswith(behind) and len(before + behind) < len(name)
    return new_before + name[len(before) : len(name) - len(behind)] + new_behind if fits else ""


def partners(gt: list[str], lq: list[str], scale: int) -> list[int]:
    """For each ground truth's name the number of its partner's, -1 where it has none.

    All names follow one rule: the one by which most have a partner.
    """
    numbers = {name: number for number, name in enumerate(lq)}
    best, found = 0, [-1] * len(gt)
    for rename in _renames(gt, lq, scale):
        renamed = [rename(name) for name in gt]
        count = sum(name in numbers for name in renamed)
        if count > best and len(set(renamed)) == len(renamed):
            best = count
            found = [numbers.get(name, -1) for name in renamed]
        if best == len(gt):
            break
    return found


def partner_numbers(gt: ImageStore, lq: ImageStore, scale: int) -> list[int]:
    """As :func:`partners`, of the images of two stores."""
    return partners(list(gt.names()), list(lq.names()), scale)


def match_names(gt: ImageStore, lq: ImageStore, scale: int) -> list[int]:
    """For each ground truth the number of its partner in ``lq``.

    Raises:
        UserError: images without a partner, which are named.
    """
    numbers = partner_numbers(gt, lq, scale)
    missing = [gt.name_at(i) for i, number in enumerate(numbers) if number < 0]
    if len(missing) == len(gt):
        text = f"{lq.path}: no partner for {gt.name_at(0)!r} of {gt.path} (found e.g. "
        text += (
            f"{lq.name_at(0)!r}). The names of a pair are equal, or differ by what stands before"
        )
        raise UserError(f"{text} or behind all of a side, such as NAMEx{scale} or NAME_LR_x{scale}")
    if missing:
        what = f"{len(missing)} of {len(gt)} images of {gt.path} have no partner here"
        raise UserError(f"{lq.path}: {what}: {some(missing, 5)}")
    return numbers


def size_fault(gt: Sequence[int], lq: Sequence[int], scale: int) -> str:
    """Why an image (height, width, ...) is not of ``scale`` times the size of another.

    Args:
        gt, lq: their shapes. ``gt`` may be larger by less than a low-quality pixel.

    Returns:
        What the low-quality image is; empty where it fits.
    """
    if all(0 <= g - scale * q < scale for g, q in zip(gt[:2], lq[:2])):
        return ""
    ratios = {round(g / q) for g, q in zip(gt[:2], lq[:2])}
    hint = ""
    if gt[0] < lq[0]:
        hint = "; the sides look swapped: the ground truth is the larger one"
    elif tuple(gt[:2]) == tuple(lq[:2]):
        hint = "; both sides are of one size"
    elif len(ratios) == 1 and scale not in ratios:
        hint = f" (it looks like x{ratios.pop()})"
    sizes = f"it is {lq[1]}x{lq[0]}, and its ground truth is {gt[1]}x{gt[0]}"
    return f"{sizes}: not x{scale}{hint}"


_PAIRS = 8
_WINDOW = 128  # low-quality pixels, in the middle of an image
_LEAST = 16  # smaller images tell nothing
_DETAIL = 7  # low-quality pixels: what is larger is brightness, which different images share
_FLAT, _SHOWS = 0.002, 0.02  # of full scale: the deviations of what shows nothing, and something
# In deviations of the correlation over all places. Of two different images it seldom exceeds 6
# anywhere, and 4 at a given place; of a pair it is 10 to 40.
_FITS, _FITS_NOT = 8.0, 4.5
# The correlation of brightness, which strong noise leaves as it is, and that of red less blue,
# which a tint may turn round, too.
_LAYOUT, _SWAPPED = 0.5, -0.7
_CLEAR = 0.3  # the correlation from which on its place is believed
_MARGIN = 3  # low-quality pixels that shifts are tried within
_MOVED, _ALIKE = 0.65, 0.5  # high-quality pixels
_ENOUGH = 3  # pairs that are shifted alike
_MAY_BE_SHIFTED = re.compile(r"(?i)(div2k|flickr2k|df2k).*(unknown|mild|wild|difficult)")


def check_pairs(dataset: Any, count: int = _PAIRS) -> None:
    """Look at some pairs of a dataset.

    Raises:
        UserError: what :func:`pairs_fault` finds, or one cannot be read.
    """
    if fault := pairs_fault(dataset, count, skip=()):
        raise UserError(fault)


def pairs_fault(dataset: Any, count: int = _PAIRS, skip: Any = UserError) -> str:
    """What is wrong with some pairs of a :class:`PairedDataset`, spread over the set.

    That is low-quality images that show something else than their partners, or all lie beside
    their place by as much; named. What may be meant so is added to the dataset's ``notes``. Pairs
    whose reading raises ``skip`` are passed over: who reads them all names them.
    """
    if getattr(dataset, "lq", None) is None or not getattr(dataset, "check_pairs", False):
        return ""
    numbers = np.unique(np.linspace(0, len(dataset.gt) - 1, count).round().astype(int)).tolist()
    strange, shifts = [], []
    for i in numbers:
        try:
            fault, shift = alignment(*middle(*dataset.load(i), dataset.scale), dataset.scale)
        except skip:
            continue
        if fault:
            strange.append(f"{dataset.lq.name_at(dataset.partners[i])} {fault}")
        elif shift is not None:
            shifts.append(shift)
    place = f"{dataset.lq.path}, {{}} {dataset.gt.path}"
    if strange:
        many = f"{len(strange)} of {len(numbers)} pairs that were looked at do not belong together"
        text = f"{many}: {place.format('of')}: {'; '.join(strange[:4])}"
        if 3 * len(strange) >= len(numbers):
            return f"{text}. {_ANYWAY}"
        dataset.notes.append(text)
    if not shifts:
        return ""
    moved = np.median(shifts, axis=0)
    alike = (np.abs(np.array(shifts) - moved).max(axis=1) < _ALIKE).mean()
    if abs(moved).max() < _MOVED or alike < 2 / 3:
        return ""
    text = f"{place.format('against')}: {shift_text(moved)}"
    if abs(moved + (dataset.scale - 1) / 2).max() < _ALIKE / 2:
        dataset.notes.append(f"{text}, as if every n-th pixel had been taken")
    elif len(shifts) < _ENOUGH or _MAY_BE_SHIFTED.search(str(dataset.lq.path)):
        dataset.notes.append(f"{text}, by the {len(shifts)} of its images that tell")
    else:
        return f"{text}, in {len(shifts)} pairs that were looked at. {_ANYWAY}"
    return ""


_ANYWAY = (
    "Give both sides the same names and the same crop; or use them as they are by "
    "check_pairs=False (train_dataloader.dataset.check_pairs, eval_dataset.check_pairs)"
)


def shift_text(shift: np.ndarray) -> str:
    """What is said of a low-quality image by what :func:`alignment` found."""
    down, right = (0.0 - shift.round(1)).tolist()
    return f"shifted by {down:g} down and {right:g} right (high-quality pixels)"


def middle(lq: Any, gt: Any, scale: int, window: int = _WINDOW) -> tuple[np.ndarray, np.ndarray]:
    """The middle of a pair, of at most ``window`` low-quality pixels each way."""
    sides = [min(n, window) for n in lq.shape[:2]]
    starts = [(n - side) // 2 for n, side in zip(lq.shape[:2], sides)]
    cuts = (tuple(slice(a * s, (a + n) * s) for a, n in zip(starts, sides)) for s in (1, scale))
    return np.asarray(lq[next(cuts)]), np.asarray(gt[next(cuts)])


def alignment(lq: np.ndarray, gt: np.ndarray, scale: int) -> tuple[str, np.ndarray | None]:
    """How a low-quality image lies over its partner.

    Args:
        lq, gt: (h, w, C) and (h * scale, w * scale, C), uint8 or uint16.

    Returns:
        What is wrong, where it shows something else; and else by how many high-quality pixels
        (down, right) what it shows lies before its place, None where it does not tell.
    """
    cv2 = import_cv2()
    colours = [side[..., :3] / np.float32(np.iinfo(side.dtype).max) for side in (lq, gt)]
    lq, gt = (side.mean(axis=2) for side in colours)
    height, width = lq.shape
    reduced = cv2.blur(gt, (scale, scale), anchor=(0, 0))  # at any place, the mean from there on
    small = reduced[::scale, ::scale]
    if lq.std() < _FLAT and small.std() > _SHOWS:
        return "is flat where its partner shows something", None
    fine = lq - cv2.blur(lq, (_DETAIL, _DETAIL))
    fine_gt = reduced - cv2.blur(reduced, (_DETAIL * scale,) * 2)
    if min(lq.shape) < _LEAST or min(fine.std(), fine_gt.std()) < _FLAT:
        return "", None
    spectrum = np.fft.rfft2(fine) * np.conj(np.fft.rfft2(fine_gt[::scale, ::scale]))
    spectrum[0, 0] = 0
    fit = np.fft.irfft2(spectrum, s=lq.shape)
    fit /= fit.std()
    near = np.roll(fit, (2, 2), (0, 1))[:5, :5]
    if -near.min() > max(fit.max(), _FITS):
        return "is a negative of its partner", None
    if near.max() < _FITS_NOT:
        down, right = ((n + s // 2) % s - s // 2 for n, s in zip(_argmax(fit), lq.shape))
        if fit.max() > _FITS:
            return f"fits {down} px down and {right} px right of its place", None
        if _correlation(lq, small) < _LAYOUT:
            return "shows another image", None
    red_blue, of = (c[..., 0] - c[..., -1] for c in colours)  # 0 of grey images
    of = cv2.resize(of, (width, height), interpolation=cv2.INTER_AREA)
    if min(red_blue.std(), of.std()) > _SHOWS and _correlation(red_blue, of) < _SWAPPED:
        return "has red and blue swapped", None
    # Found to a low-quality pixel; around there, each high-quality one.
    m, top, left = _MARGIN, *(scale * (2 - i) for i in _argmax(near))
    inner = fine[m : height - m, m : width - m]
    tried = range(-scale, scale + 1)

    def correlation(dy: int, dx: int) -> float:
        there = fine_gt[m * scale + top + dy :: scale, m * scale + left + dx :: scale]
        return _correlation(inner, there[: inner.shape[0], : inner.shape[1]])

    places = np.array([[correlation(dy, dx) for dx in tried] for dy in tried])
    y, x = _argmax(places)
    if places[y, x] < _CLEAR:
        return "", None
    return "", np.array([_peak(places[:, x], y) + top, _peak(places[y], x) + left]) - scale


def _argmax(values: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(values.argmax(), values.shape))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-6))


def _peak(values: np.ndarray, i: int) -> float:
    """Where the parabola through the largest value and its neighbours has its top."""
    if not 0 < i < len(values) - 1:
        return float(i)
    before, top, behind = values[i - 1 : i + 2].tolist()
    return i + 0.5 * (before - behind) / (before - 2 * top + behind - 1e-12)
