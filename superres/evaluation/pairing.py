"""Pairing of SR images (results) with HR images (ground truth) by their names.

Programs decorate the names of their results: ``baby_RCAN_x2``, ``babyx2``, ``baby_HR_x2``,
``img_001_SRF_2_SR`` (SRF: super-resolution factor). An ambiguous pair is an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from superres.errors import UserError

# Decorations at the end of a name: a scale (x2, _x2, _2x, _SRF_2) or what the image is.
_DECORATIONS = re.compile(r"(?<=.)(?:[_\-. ]?x\d+|[_\-. ](?:\d+x|srf_\d+|hr|sr|lr|gt))+$")
_SCALE = re.compile(r"(?<![^\W_])(?:x(\d+)|(\d+)x|srf_(\d+))(?![^\W_])")
# An image's own name ({}) inside a decorated one: separators around it, or a scale behind it.
_WORD = r"(?<![^\W_]){}(?=$|[\W_]|x\d+(?:$|[\W_]))"


@dataclass
class Pairing:
    """The result of :func:`pair_by_name`.

    Attributes:
        pairs: (HR file's name without suffix, SR path, HR path), in the order of the HR images.
        missing: name of an HR image without an SR image -> what was found instead, or ''.
        extra: SR images without an HR image.
    """

    pairs: list[tuple[str, Path, Path]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    extra: list[Path] = field(default_factory=list)


def pair_by_name(sr: Sequence[Path], hr: Sequence[Path], scale: int) -> Pairing:
    """Pair two lists of image files.

    An SR image belongs to the HR image whose name, without its own decorations, is the
    longest that its name contains as a whole word. Images whose names give another scale are
    left out, and a name with this scale is preferred to one without a scale.

    Raises:
        UserError: two SR images fit one HR image, two HR images have the same name without
            decorations, or all HR images are named after another scale.
    """
    keys: dict[str, Path] = {}  # name without decorations -> HR image
    for path in hr:
        key = undecorated(path.stem)
        if scale in (_scales(path.stem, key) or {scale}) and keys.setdefault(key, path) != path:
            raise UserError(
                f"HR images {keys[key].name} and {path.name} have the same name but for "
                "decorations: keep one of them in the folder"
            )
    if hr and not keys:
        raise UserError(f"the HR images' names say another scale than {scale}: {hr[0].name}, ...")
    result = Pairing()
    found: dict[str, list[tuple[Path, set[int]]]] = {key: [] for key in keys}
    for path in sr:
        name, own_name = path.stem.lower(), undecorated(path.stem)
        inside = (key for key in keys if re.search(_WORD.format(re.escape(key)), name))
        key = own_name if own_name in keys else max(inside, key=len, default=None)
        if key is None:
            result.extra.append(path)
        else:
            found[key].append((path, _scales(name, key)))
    for key, target in keys.items():
        this_scale = [path for path, scales in found[key] if scale in scales]
        no_scale = [path for path, scales in found[key] if not scales]
        other_scale = [path for path, scales in found[key] if scales and scale not in scales]
        result.extra += [*other_scale, *(no_scale if this_scale else ())]
        chosen = this_scale or no_scale
        if len(chosen) > 1:
            raise UserError(
                f"{' and '.join(path.name for path in chosen[:3])} could all be the SR image of "
                f"{target.name}: keep one method's images in a folder"
            )
        if chosen:
            result.pairs.append((target.stem, chosen[0], target))
        else:
            names = ", ".join(path.name for path in other_scale)
            result.missing[target.stem] = f"only for another scale: {names}" if names else ""
    return result


def undecorated(stem: str) -> str:
    """A name in lower case without a scale and HR, SR, LR or GT at its end; never empty."""
    return _DECORATIONS.sub("", stem.lower())


def _scales(stem: str, key: str) -> set[int]:
    """The scales in a name, outside the image's own name ``key``."""
    rest = stem.lower().replace(key, "", 1)
    return {int(next(filter(None, groups))) for groups in _SCALE.findall(rest)}
