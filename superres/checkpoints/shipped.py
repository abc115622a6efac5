"""Names that stand for weights: files that come with the package, and published ones, by scale."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection
from pathlib import Path

from superres.checkpoints.names import PUBLISHED, fetch
from superres.errors import ScaleNeeded, UserError

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
"""Files named ``NAME_xSCALE.safetensors``, or ``NAME.safetensors`` for a network of several."""

DEFAULT = "edsr-s"
"""What commands take where no model is named."""

USUAL_SCALE = 4
"""Where neither the person nor the model settles the scale."""

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
"""Of weight files."""

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


def usual_scale(scales: Collection[int]) -> int:
    """The scale that is taken of several where nobody asks for one: x4, else the largest."""
    return USUAL_SCALE if USUAL_SCALE in scales else max(scales)


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


def resolve(name_or_path: str | Path, scale: int | None) -> Path:
    """The weight file that is meant: a path, a folder with files named after scales, or a name.

    Raises:
        UserError: no such file or name, or a name or folder with several weight files and no
            ``scale`` to choose.
    """
    path = Path(name_or_path).expanduser()
    if not os.path.exists(path):  # Path.exists raises where the name is too long
        name = full_name(str(name_or_path), scale)
        if name is not None:
            return fetch(name) if name in PUBLISHED else shipped()[name]
    if os.path.isdir(path):
        return path / choose(sorted(os.listdir(path)), scale, str(path))
    if not os.path.isfile(path):
        raise UserError(unknown_name(str(name_or_path)))
    return path


def choose(names: list[str], scale: int | None, where: str) -> str:
    """The weight file for ``scale`` among the files of a folder or repository.

    Raises:
        ScaleNeeded: they are named after scales, and none is given to choose by.
        UserError: none, or several that it could be.
    """
    weights = [n for n in names if n.endswith(SUFFIXES) and "/" not in n]
    fitting = weights
    if scale is not None:
        named = {n: scale_in_name(n) for n in weights}
        fitting = [n for n in weights if named[n] == scale] or [n for n in weights if not named[n]]
    for some in (fitting, [n for n in fitting if n.endswith(".safetensors")]):
        if len(some) == 1:
            return some[0]
    here = ", ".join(weights) or "none"
    if scale is None and any(map(scale_in_name, weights)):
        raise ScaleNeeded(f"{where}: needs a scale to choose by; weight files there: {here}")
    wanted = "one weight file" if scale is None else f"weights for x{scale} in one file"
    raise UserError(f"{where}: needs {wanted}, or the name of a file; weight files there: {here}")


def scale_in_name(name: str) -> int | None:
    """The scale in a file name such as ``edsr_x2.pt`` or ``pytorch_model_2x.pt``, if it is one."""
    found = re.findall(r"(?:^|[_-])(?:x(\d+)(?![\dx])|(\d+)x(?![a-z\d]))", name)
    scales = {int(first or second) for first, second in found}
    return scales.pop() if len(scales) == 1 else None
