"""Which SR picture belongs to which HR picture, by their names.

Programs decorate the names of what they write: ``baby_RCAN_x2``, ``babyx2``, ``baby_HR_x2``,
``img_001_SRF_2_SR``. A pair is taken only when nothing else could be meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from superres.errors import UserError

# One decoration at the end of a name: a scale (x2, _x2, _2x, _SRF_2) or what the picture is.
_DECORATION = re.compile(r"(?:[_\-. ]?x\d+|[_\-. ](?:\d+x|srf_\d+|hr|sr|lr|gt))$", re.IGNORECASE)
_SCALE = re.compile(r"(?<![^\W_])(?:x(\d+)|(\d+)x|srf_(\d+))(?![^\W_])")
# What may follow a picture's own name inside a decorated one: a separator, or a scale.
_AFTER = r"(?=$|[\W_]|x\d+(?:$|[\W_]))"


@dataclass
class Pairing:
    """The outcome of :func:`pair_by_name`.

    Attributes:
        pairs: (name, SR path, HR path), in the order of the HR pictures.
        missing: HR pictures without an SR one, by name, with what was found instead.
        extra: SR pictures that belong to none.
    """

    pairs: list[tuple[str, Path, Path]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    extra: list[Path] = field(default_factory=list)


def pair_by_name(sr: Sequence[Path], hr: Sequence[Path], scale: int) -> Pairing:
    """Pair two lists of picture files.

    An SR picture belongs to the HR picture whose name, without its own decorations, is the
    longest that its name contains as a whole word, at the start if possible. Pictures whose
    names give another scale are left out.

    Raises:
        UserError: two files that could both be meant, with their names.
    """
    keys = _hr_keys(hr, scale)
    found: dict[str, list[tuple[int, Path, set[int]]]] = {key: [] for key in keys}
    result = Pairing()
    for path in sr:
        match = _best_key(path.stem.lower(), keys)
        if match is None:
            result.extra.append(path)
            continue
        rank, key, rest = match
        scales = {int(next(filter(None, groups))) for groups in _SCALE.findall(rest)}
        found[key].append((rank, path, scales))
    for key, target in keys.items():
        fitting = [c for c in found[key] if not c[2] or scale in c[2]]
        others = [path for _, path, scales in found[key] if scales and scale not in scales]
        result.extra += others
        if not fitting:
            names = ", ".join(path.name for path in others)
            result.missing[target.stem] = f"only for another scale: {names}" if others else ""
            continue
        # A name that gives the scale is meant before one that does not, a plainer name before
        # one in which the picture's name comes later.
        best = min((scale not in scales, rank) for rank, _, scales in fitting)
        chosen = [path for rank, path, scales in fitting if (scale not in scales, rank) == best]
        if len(chosen) > 1:
            names = " and ".join(path.name for path in chosen[:3])
            raise UserError(
                f"{names} could all be the SR picture of {target.name}: keep one method's "
                "pictures in a folder"
            )
        result.extra += [path for _, path, _ in fitting if path != chosen[0]]
        result.pairs.append((target.stem, chosen[0], target))
    return result


def _hr_keys(hr: Sequence[Path], scale: int) -> dict[str, Path]:
    """HR pictures by what remains of their names without decorations."""
    keys: dict[str, Path] = {}
    for path in hr:
        stem = path.stem.lower()
        key = undecorated(stem)
        scales = {int(next(filter(None, groups))) for groups in _SCALE.findall(stem[len(key) :])}
        if scales and scale not in scales:
            continue
        if key in keys:
            raise UserError(
                f"HR pictures {keys[key].name} and {path.name} have the same name but for "
                "decorations: keep one of them in the folder"
            )
        keys[key] = path
    if hr and not keys:
        raise UserError(f"the HR pictures' names say another scale than {scale}: {hr[0].name}, ...")
    return keys


def undecorated(stem: str) -> str:
    """A name without scale and HR/SR/LR/GT at its end; never empty."""
    while True:
        shorter = _DECORATION.sub("", stem)
        if not shorter or shorter == stem:
            return stem
        stem = shorter


def _best_key(stem: str, keys: dict[str, Path]) -> tuple[int, str, str] | None:
    """(rank, key, rest of the name) of the HR picture that an SR name means."""
    if undecorated(stem) in keys:
        key = undecorated(stem)
        return 0, key, stem[len(key) :]
    for rank, before in ((1, r"^"), (2, r"(?<![^\W_])")):
        hits = [key for key in keys if re.search(before + re.escape(key) + _AFTER, stem)]
        if hits:
            key = max(hits, key=len)
            return rank, key, re.sub(before + re.escape(key), "", stem, count=1)
    return None
