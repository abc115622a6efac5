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
from superres.datasets.storage.writer import PARTIAL_SUFFIX
from superres.errors import UserError
from superres.files import is_folder, os_fault
from superres.imaging.listing import is_image

RESULTS = re.compile(r"(?i)image_SRF_\d")
"""SelfExSR's folders, where results of methods lie beside the images."""

_DEEPEST = 3  # LR/train/X4
_ARCHIVE = r"\.(zip|rar|7z|tar(\.\w+)?|tgz)"
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
                kind = {"lrbic": "bicubic", "lrbicubic": "bicubic", "lrbi": "bicubic"}.get(
                    token, token[2:] if token in ("lrbd", "lrdn") else kind
                )
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
    """A folder or database with images, and what its name says."""

    path: Path
    side: Side | None
    below: tuple[str, ...] = ()

    @property
    def packed(self) -> bool:
        """Whether it is a database."""
        return is_lmdb(self.path)


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


def places(root: Path) -> list[Place]:
    """The folders with images below ``root``, three levels deep (LR/train/X4), by path.

    Where there is no such folder, those beside it whose names begin with its name:
    ``DIV2K_train_HR`` and ``DIV2K_train_LR_bicubic/X4`` are those of ``DIV2K_train``.

    Raises:
        UserError: a folder cannot be read.
    """
    if root.is_dir():
        return list(_below(root))
    word = "_".join(_tokens(root.name))
    return [p for p in _below(root.parent, word) if p.side and p.side.word == word]


def _below(root: Path, word: str = "", above: tuple[str, ...] = ()) -> Iterator[Place]:
    for folder in _folders(root):
        names = (*above, folder.name)
        # Below what is no side of this set lie other sets.
        side = read_side(names) if read_side(names[:1]) else None
        spelt = "_".join(_tokens(names[0]))
        if word and side is None and not spelt.startswith(f"{word}_"):
            continue
        if holds_images(folder):
            yield Place(folder, side, names)
        if len(names) < _DEEPEST and not is_lmdb(folder):
            yield from _below(folder, word, names)


def _folders(root: Path) -> list[Path]:
    # One that is being written, or was set aside, is not a side.
    return [
        path
        for path, folder in _inside(root)
        if folder and PARTIAL_SUFFIX not in path.name and ".replaced-" not in path.name
    ]


def _inside(root: Path) -> list[tuple[Path, bool]]:
    """What lies in a folder and is not hidden, sorted, and whether it is a folder."""
    try:
        if not root.is_dir():
            return []
        with os.scandir(root) as entries:
            return sorted((Path(e.path), is_folder(e)) for e in entries if e.name[0] not in "._")
    except OSError as error:
        raise UserError(os_fault(root, error, "folder")) from None


def unread_low_side(root: Path, where: Iterable[Place], word: str | None, scale: int) -> str:
    """What is called the low-quality side of a set and is none, with the reason; else empty.

    An empty folder, images of other formats, an archive that was not unpacked, a link that leads
    nowhere, an unfinished pack: low-quality images made by bicubic would hide them.

    Args:
        root: the set's folder.
        where: its places.
        word: of its high-quality side; None: any.
        scale: wanted.
    """
    used = {folder for p in where for folder in (p.path, *p.path.parents)}
    first = _inside(root if root.is_dir() else root.parent)
    low = [path for path, folder in first if folder and path in used and _is_low(path.name)]
    for path, folder in [*first, *(entry for side in low for entry in _inside(side))]:
        gone = path.is_symlink() and not path.exists()
        name = re.sub(rf"(?i){_ARCHIVE}$|{re.escape(PARTIAL_SUFFIX)}.*$", "", path.name)
        nested = path.parent in low
        if not (folder or gone or name != path.name or (not path.suffix and not nested)):
            continue
        side = read_side([path.parent.name, name] if nested else [name])
        unfinished = PARTIAL_SUFFIX in path.name and side and side.kind == "bicubic"
        if not side or not side.low or unfinished or path in used or ".replaced-" in path.name:
            continue
        if word not in (None, side.word) or (nested and not side.scale):
            continue
        if not (scale and _of_another_scale(Place(path, side), scale, None)):
            if gone:
                return f"{path}: a link that leads nowhere ({os.readlink(path)})"
            return f"{path} holds no images that are read"
    return ""


def _is_low(name: str) -> bool:
    side = read_side([name])
    return side is not None and side.low


def choose_sides(
    where: Iterable[Place], scale: int, kind: str | None, label: str
) -> tuple[Place | None, Place | None, list[Place]]:
    """The two sides for one scale, and the places that are neither, nor a side of another scale.

    Args:
        where: the places of one set.
        scale: wanted.
        kind: the degradation that was asked for, else None: bicubic, or the only one there is.
        label: what a message calls the set.

    Raises:
        UserError: two places could both be a side; they are named.
    """
    where = list(where)
    words = {p.side.word for p in where if p.side and not p.side.low}
    if len(words) > 1:
        names = ", ".join(sorted(p.path.name for p in where if p.side and not p.side.low))
        raise UserError(
            f"{label}: several sets are here ({names}). Name one of them, such as "
            f"{label}/{sorted(words)[-1]}, or write dict(gt=FOLDER, lq=FOLDER)"
        )
    high = [p for p in where if p.side and not p.side.low and p.side.scale in (None, scale)]
    low = [p for p in where if p.side and p.side.low and p.side.scale in (None, scale)]
    gt = _one(high, "high-quality", scale, label)
    if gt:
        low = [p for p in low if p.side.word == gt.side.word] or low
    if kind is not None:
        low = [p for p in low if p.side.kind in ((kind, "") if kind == "bicubic" else (kind,))]
    elif {p.side.kind for p in low} <= _OFFICIAL_KINDS or all(p.packed for p in low):
        # The tracks of a challenge, and packs of ours, lie beside each other by design.
        low = [p for p in low if p.side.kind == "bicubic"] or low
    lq = _one(low, "low-quality", scale, label)
    sides = {(p.side.low, p.side.scale, p.side.kind) for p in (gt, lq) if p}
    strays = [
        p
        for p in where
        if p not in (gt, lq)
        and not RESULTS.match(p.path.name)
        and not (p.side and (p.side.low, p.side.scale, p.side.kind) in sides)
        and not (p.side and _may_lie_beside(p, p.side, gt, lq, scale))
    ]
    return gt, lq, strays


def _may_lie_beside(
    place: Place, side: Side, gt: Place | None, lq: Place | None, scale: int
) -> bool:
    """Whether a side that is not used lies beside those that are by design."""
    if _of_another_scale(place, scale, lq):
        return True
    if not side.low:
        return gt is not None
    official = lq is not None and lq.side.kind in _OFFICIAL_KINDS and side.kind != ""
    return official or (lq is not None and side.kind in _X4_ONLY)


def _of_another_scale(place: Place, scale: int, lq: Place | None) -> bool:
    """Whether a place need not be used here, since it is a side for another scale."""
    if place.side is None or place.side.scale in (None, scale):
        return False
    # Bicubic LR of another scale says how this scale's is made; other LR does not.
    return lq is not None or not place.side.low or place.side.kind == "bicubic"


def _one(candidates: list[Place], side: str, scale: int, label: str) -> Place | None:
    """The one that is meant: of the scale's own before one for all, packed before files."""
    for fitting in (
        [p for p in candidates if p.side.scale == scale],
        [p for p in candidates if p.side.scale is None],
    ):
        if not fitting:
            continue
        others = {p.side.kind for p in candidates if p not in fitting}
        if side == "low-quality" and not others <= _X4_ONLY:
            break  # LR and LR_x4 both hold images; not DIV2K's LR_mild beside LR_x8
        by_name: dict[tuple, list[Place]] = {}
        for place in fitting:
            by_name.setdefault(
                (place.side.kind, "_".join(t for name in place.below for t in _tokens(name))), []
            ).append(place)
        if len(by_name) > 1 and side == "high-quality":
            # MMEditing and BasicSR leave the uncropped originals beside GTmod12.
            cropped = [k for k in by_name if k[1].startswith("gtmod")]
            by_name = {k: by_name[k] for k in cropped} if cropped else by_name
        if len(by_name) > 1:
            break
        (same,) = by_name.values()
        if sum(not place.packed for place in same) > 1:
            break  # LR/X4 and LR_x4; a folder beside its own pack is meant to be there
        return min(same, key=lambda p: not p.packed)
    else:
        return None
    names = " and ".join(str(p.path) for p in candidates[:4])
    raise UserError(
        f"{label}: {names} could all be the {side} side{f' for x{scale}' if scale else ''}. Move "
        "one away, or name both sides: dict(gt=FOLDER, lq=FOLDER)"
    )
