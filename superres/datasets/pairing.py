"""Which low-quality image belongs to which ground truth."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from functools import partial

from superres.errors import UserError, some

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
        raise UserError(
            f"{lq.path}: no partner for {gt.name_at(0)!r} of {gt.path} (found e.g. "
            f"{lq.name_at(0)!r}). The names of a pair are equal, or differ by what stands before "
            f"or behind all names of a side, such as NAMEx{scale} or NAME_LR_x{scale}"
        )
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
