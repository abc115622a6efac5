"""Which folder of a set holds which side: one reading of folder names for all commands.

People call the two sides HR and LR, GT and LQ, high and low, train_HR and train_LR, and put scales
and degradations into names: ``LR_bicubic/X4``, ``LR_x4``, ``LRbicx4``, ``X4``. What is read here is
the path of a folder below the set's own one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from superres.datasets.storage.environment import DATA_FILE
from superres.datasets.storage.lmdb import PARTIAL_SUFFIX, UNFINISHED
from superres.errors import UserError
from superres.files import is_folder, leads_back, os_fault
from superres.imaging.listing import is_image, list_images

_DEEPEST = 3  # LR/train/X4
_NO_NAME = re.compile(rf"(?i)(\.(zip|rar|7z|tar(\.\w+)?|tgz)|{re.escape(PARTIAL_SUFFIX)}.*)$")
_RESULTS = re.compile(r"(?i)image_SRF_\d")  # SelfExSR's: results of methods beside the images
LAYOUTS = (
    "HR + LR (also GT + LQ, high + low, target + input, with train_ or another word before or "
    "behind both, with .lmdb), LR in one folder per scale: LR/X{s}, LR_x{s}, X{s}, "
    "LR_bicubic/X{s}, LR_bicubic_X{s}.lmdb, LRbicx{s}; NAME_HR beside NAME_LR_bicubic/X{s}; "
    "GTmod12; names that are equal, or differ by what stands before or behind all of them"
)
"""For messages; ``{s}`` is the scale."""

_HIGH = frozenset(
    """
    hr gt high hq hires highres highresolution target targets original originals orig
    sharp clean groundtruth truth label labels reference gtmod hrs gts uhd highquality large
    """.split()  # noqa: SIM905 - a table of words
)
_LOW = frozenset(
    """
    lr lq low lowres lores lowresolution lowquality input inputs degraded blur blurred
    blurry noisy compressed lrs lqs lrbic lrbicubic downsampled downscaled small lrbi lrbd
    lrdn distorted
    """.split()  # noqa: SIM905 - a table of words
)
_OFFICIAL_KINDS = frozenset(("bicubic", "unknown", "mild", "wild", "difficult"))
_X4_ONLY = frozenset(("mild", "wild", "difficult"))  # DIV2K's, in folders that state no scale
_KINDS = {"lrbic": "bicubic", "lrbicubic": "bicubic", "lrbi": "bicubic", "lrbd": "bd", "lrdn": "dn"}
_SPLITS = frozenset(["train", "training", "valid", "validation", "val", "test", "testing", "eval"])
_FILLER = frozenset(
    ("resolution", "quality", "res", "images", "image", "imgs", "img", "sub", "lmdb")
)


@dataclass(frozen=True)
class Side:
    """What the name of a folder says.

    Attributes:
        low: whether it is the low-quality side.
        scale: that the name states, else None.
        kind: the degradation that the name states ('bicubic', 'unknown', ...), else ''.
        word: what stands before the side's name, such as 'train'.
    """

    low: bool
    scale: int | None = None
    kind: str = ""
    word: str = ""


def read_side(folders: Sequence[str]) -> Side | None:
    """The side that a folder is, from its path below the set's folder; None: none that is known."""
    low = high = False
    scale, kind, word = None, "", []
    for folder in folders:
        for token in _tokens(folder):
            if match := re.fullmatch(r"x(\d+)|(\d+)x", token):
                scale = int(match[1] or match[2])
            elif token in _LOW and not low:
                low = True
                kind = _KINDS.get(token, kind)
            elif token in _HIGH and not low:  # LR/original is a side of LR's
                high = True
            elif token in _FILLER or ((low or high) and token.isdecimal()):
                continue
            elif (low or high) and token not in _SPLITS:
                kind = f"{kind}_{token}" if kind else token
            else:
                word.append(token)
    if low and high and not word:
        return None
    if not (low or high):
        # X4 alone is a side; so is x4 beside other words only where nothing else could be meant.
        return Side(True, scale) if scale and not word else None
    kind = "bicubic" if kind == "bic" else kind
    return Side(low and not high, scale, kind if low else "", "_".join(word))


def _tokens(folder: str) -> list[str]:
    """``'LRbicx4.lmdb'`` to ``['lrbic', 'x4']``; ``'GTmod12'`` to ``['gtmod', '12']``."""
    text = re.sub(r"\.lmdb$", "", folder, flags=re.IGNORECASE)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text)  # trainHR
    text = re.sub(r"\b(HR|LR|GT|LQ|HQ)(?!mod)(?=[a-z]{3})", r"\1_", text)  # HRtrain
    text = re.sub(r"(?i)(high|low|ground)[-_ ]?(res(?:olution)?|quality|truth)", r"\1\2", text)
    text = re.sub(r"(?i)(?<=[a-z])(x\d+)(?=$|[^a-z0-9])", r"_\1", text)  # LRx4
    text = re.sub(r"(?i)^(lr|hr|lq|gt)([2-9])$", r"\1_x\2", text)  # LR4
    text = re.sub(r"(?i)^(lr|hr|lq|gt)(\d+)$", r"\1_\2", text)  # LR1, LR128
    text = re.sub(r"(?i)(?<=gtmod)(\d+)", r"_\1", text)
    return [token for token in re.split(r"[^a-z0-9]+", text.lower()) if token]


@dataclass(frozen=True)
class Place:
    """A folder or database of images, and what its name says.

    Attributes:
        below: the parts of its path below the folder that was looked through.
        fault: what a message says of what is called a side and is none; else empty.
    """

    path: Path
    side: Side | None
    below: tuple[str, ...] = ()
    fault: str = ""

    @property
    def packed(self) -> bool:
        """Whether it is a database."""
        return is_lmdb(self.path)

    @property
    def high(self) -> bool:
        """Whether it is called a high-quality side."""
        return self.side is not None and not self.side.low

    @property
    def low(self) -> bool:
        """Whether it is called a low-quality side."""
        return self.side is not None and self.side.low


def is_lmdb(path: Path) -> bool:
    """Whether a path is a database."""
    return (path / DATA_FILE).is_file()


def holds_images(path: Path) -> bool:
    """Whether a path is a database, or a folder with images right in it, broken links included.

    Raises:
        UserError: the folder cannot be read.
    """
    if is_lmdb(path):
        return True
    try:
        if not path.is_dir():
            return False
        with os.scandir(path) as entries:
            return any(is_image(entry.path) for entry in entries if not is_folder(entry))
    except OSError as error:
        raise UserError(os_fault(path, error, "folder")) from None


def refuse_both_in_one(folder: Path) -> None:
    """Refuse a folder in which both sides of all pairs lie, such as RealSR's ``a_HR``, ``a_LR4``.

    Raises:
        UserError: it is one. Read as ground truths, its low-quality images would be trained on.
    """
    pattern = re.compile(r"(?i)(.+)[-_](HR|LR)(_?x?\d+)?")
    names = [pattern.fullmatch(f.stem) for f in ([] if is_lmdb(folder) else list_images(folder))]
    sides = {(name[1], name[2].upper()) for name in names} if all(names) else set()
    if both := [name for name, side in sides if side == "HR" and (name, "LR") in sides]:
        pair = f"{min(both)}_HR and _LR"
        raise UserError(f"{folder}: both sides lie in this folder ({pair}). Move them into two")


def places(root: Path) -> list[Place]:
    """The folders with images below ``root``, three levels deep (LR/train/X4), by path.

    With them what is called a side and cannot be read as one: an empty folder, images of other
    formats, an archive, a link that leads nowhere, an unfinished pack. Bicubic low-quality images
    would hide them.

    A folder with images right in it is a place itself, last; the high-quality side where nothing
    below it is called so. Where there is no such folder, those beside it that have its name:
    ``DIV2K_train_HR`` and ``DIV2K_train_LR_bicubic/X4`` are those of ``DIV2K_train``.

    Raises:
        UserError: a folder cannot be read.
    """
    if root.is_symlink() and not root.exists():  # that is not "not there"
        raise UserError(f"{root}: a link that leads nowhere ({os.readlink(root)}).")
    if not root.is_dir():
        word = "_".join(_tokens(root.name))
        return [p for p in _below(root.parent, word) if p.side and p.side.word == word]
    found = [] if is_lmdb(root) else list(_below(root))
    if holds_images(root):
        found.append(Place(root, None if any(p.high for p in found) else Side(False)))
    return found


def _below(root: Path, word: str = "", above: tuple[str, ...] = ()) -> Iterator[Place]:
    for path, folder in _entries(root):
        names = (*above, _NO_NAME.sub("", path.name))
        # Folders that are not a side of this set hold other sets.
        side = read_side(names) if read_side(names[:1]) else None
        if word not in "_".join(_tokens(names[0])):
            continue
        unfinished, dead = PARTIAL_SUFFIX in path.name, not path.exists()
        folder = folder and not unfinished
        deeper = folder and not is_lmdb(path) and len(names) < _DEEPEST
        inside = list(_below(path, word, names)) if deeper else []
        if folder and holds_images(path):
            yield Place(path, side, names)
        elif side and (not above or side.scale) and all(p.fault for p in inside):
            fault = f"{path} holds no images that are read" if side.low else ""
            fault = f"{path}: a link that leads nowhere ({os.readlink(path)})" if dead else fault
            if fault := f"{path}: {UNFINISHED}" if unfinished else fault:
                yield Place(path, side, names, fault)
        yield from inside


def _entries(root: Path) -> list[tuple[Path, bool]]:
    """What lies in a folder and may be a side, sorted, and whether it is a folder."""
    try:
        with os.scandir(root) as entries:
            return sorted((Path(e.path), is_folder(e)) for e in entries if _may_be_a_side(e))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(os_fault(root, error, "folder")) from None


def _may_be_a_side(entry: os.DirEntry) -> bool:
    if entry.name[0] in "._":
        return False
    if is_folder(entry):
        return not leads_back(entry.path)
    dead = entry.is_symlink() and not os.path.exists(entry.path)
    return bool(dead or _NO_NAME.search(entry.name))


def choose_sides(
    where: Iterable[Place], scale: int, kind: str | None, label: str
) -> tuple[Place | None, Place | None, list[Place]]:
    """The two sides for one scale, and the places that are neither, nor lie there by design.

    Args:
        where: the places of one set.
        scale: wanted.
        kind: the degradation that was asked for, else None: bicubic, or the only one there is.
        label: what a message calls the set.

    Raises:
        UserError: two places could both be a side; they are named.
    """
    where = [p for p in where if not p.fault]
    high = [p for p in where if p.high]
    words = {p.side.word for p in high}
    if len(words) > 1:
        several = f"several sets are here ({', '.join(sorted(p.path.name for p in high))})"
        one = f"Name one of them, such as {label}/{max(words)}, or write dict(gt=FOLDER, lq=FOLDER)"
        raise UserError(f"{label}: {several}. {one}")
    gt = _one([p for p in high if p.side.scale in (None, scale)], "high-quality", label)
    low = [p for p in where if p.low and p.side.scale in (None, scale)]
    if gt:
        low = [p for p in low if p.side.word == gt.side.word] or low
    if kind is not None:
        low = [p for p in low if p.side.kind in ((kind, "") if kind == "bicubic" else (kind,))]
    elif {p.side.kind for p in low} <= _OFFICIAL_KINDS or all(p.packed for p in low):
        # The tracks of a challenge, and packs of ours, lie beside each other by design.
        low = [p for p in low if p.side.kind == "bicubic"] or low
    lq = _one(low, "low-quality", label)
    strays = [p for p in where if not _by_design(p, gt, lq, scale)]
    return gt, lq, strays


def _by_design(place: Place, gt: Place | None, lq: Place | None, scale: int) -> bool:
    """Whether a place is a side, or need not be one."""
    side = place.side
    if place in (gt, lq) or _RESULTS.match(place.path.name):
        return True
    if side is None:
        return False
    if of_another_scale(place, scale, lq) or (place.high and gt):
        return True
    if lq is None or side.low != lq.side.low:
        return False
    same = (side.scale, side.kind) == (lq.side.scale, lq.side.kind)
    track = lq.side.kind in _OFFICIAL_KINDS and side.kind
    return bool(same or track or side.kind in _X4_ONLY)


def of_another_scale(place: Place, scale: int, lq: Place | None = None) -> bool:
    """Whether a place need not be used here, since it is a side for another scale."""
    if place.side is None or not scale or place.side.scale in (None, scale):
        return False
    # Bicubic LR of another scale says how this scale's is made; other LR does not.
    return lq is not None or place.high or place.side.kind == "bicubic"


def _one(candidates: list[Place], side: str, label: str) -> Place | None:
    """The one that is meant: of the scale's own before one for all, packed before files."""
    own = [p for p in candidates if p.side.scale]
    fitting = own or candidates
    if not fitting:
        return None
    if side == "high-quality":
        # MMEditing and BasicSR leave the uncropped originals beside GTmod12.
        fitting = [p for p in fitting if _spelt(p).startswith("gtmod")] or fitting
        others: set[str] = set()
    else:
        # LR and LR_x4 both hold images; DIV2K's LR_mild may lie beside LR_x8.
        others = {p.side.kind for p in candidates if p not in fitting} - _X4_ONLY
    # A folder beside its own pack is meant to be there; LR/X4 beside LR_x4 is not.
    same = len({(p.side.kind, _spelt(p)) for p in fitting}) == 1
    if others or not same or sum(not p.packed for p in fitting) > 1:
        names = " and ".join(str(p.path) for p in candidates[:4])
        text = f"{label}: {names} could all be the {side} side. Move one away, or name both sides"
        raise UserError(f"{text}: dict(gt=FOLDER, lq=FOLDER)")
    return min(fitting, key=lambda p: not p.packed)


def _spelt(place: Place) -> str:
    return "_".join(token for name in place.below for token in _tokens(name))
