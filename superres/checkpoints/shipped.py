"""Names that stand for weights: files that come with the package, and published ones, by scale."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from superres.checkpoints.names import PUBLISHED
from superres.errors import ScaleNeeded, UserError

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
"""Files named ``NAME_xSCALE.safetensors``, or ``NAME.safetensors`` for a network of several."""

DEFAULT = "edsr-s"
"""What commands take where no model is named."""

_SCALED = re.compile(r"(.+)_x(\d+)")


def shipped() -> dict[str, Path]:
    """Full name -> file, of the weights that come with the package."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}


def variants(name: str) -> dict[int, str]:
    """Scale -> full name of what goes by ``name`` without a scale (``edsr-s``)."""
    found = {}
    for full in (*PUBLISHED, *shipped()):
        match = _SCALED.fullmatch(full)
        if match and match[1] == name:
            found[int(match[2])] = full
    return dict(sorted(found.items()))


def full_name(name: str, scale: int | None) -> str | None:
    """The full name that is meant; None if no weights go by that name.

    Raises:
        UserError: there are several scales and none is chosen, or not the one asked for.
    """
    if name in PUBLISHED or name in shipped():
        return name
    found = variants(name)
    if scale is None and len(found) == 1:
        return next(iter(found.values()))
    if found and scale not in found:
        has = ", ".join(f"x{s}" for s in found)
        if scale is None:
            raise ScaleNeeded(f"{name} is there for {has}; say which: scale=2, --scale 2")
        raise UserError(f"{name} is there for {has}; not for x{scale}")
    return found.get(scale)


def model_names() -> list[str]:
    """All names, those with several scales by their short one."""
    full = [*shipped(), *PUBLISHED]
    return list(dict.fromkeys(m[1] if (m := _SCALED.fullmatch(name)) else name for name in full))


def unknown_name(name: str) -> str:
    """What to tell somebody who gave a name (or a path) that stands for nothing."""
    if name == DEFAULT:
        return (
            f"the weights of {DEFAULT!r} did not come with this installation; give a weight file "
            f"(--model FILE) or one of the published names {', '.join(PUBLISHED)}"
        )
    known = [*model_names(), *shipped(), *PUBLISHED]
    near = list(dict.fromkeys(difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)))
    hint = f"did you mean {' or '.join(near)}? Else " if near else ""
    return (
        f"{name}: no such weight file, and no model of that name; {hint}"
        "give the path of a file (.pth, .pt, .bin, .ckpt, .safetensors), a name that comes with "
        f"superres ({', '.join(shipped()) or 'none here'}) or one of the published names "
        f"{', '.join(PUBLISHED)}. 'superres upscale --list-models' lists them all"
    )
