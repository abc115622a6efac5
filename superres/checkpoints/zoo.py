"""Weights by name: those that come with the package, and published ones, downloaded once."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from superres.errors import ScaleNeeded, UserError, did_you_mean
from superres.paths import cache_dir

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
"""Included weights: ``NAME_xSCALE.safetensors``, or ``NAME.safetensors`` for several scales."""

DEFAULT = "edsr-s"
"""The model for clean images where the user names none."""

USUAL_SCALE = 4
"""The scale where neither the user nor the model determines it."""

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
"""File names of weights end in one of these."""

_SCALED = re.compile(r"(.+)_x(\d+)")  # a full name: edsr-s_x4


@dataclass(frozen=True)
class Published:
    """A weight file that its authors offer for download.

    Attributes:
        url: its address; the file's name ends in the first eight digits of its SHA-256.
        format: its weight format, a name of `superres.checkpoints.formats`.
        config: name of our config for the same network, if there is one.
    """

    url: str
    format: str
    config: str | None = None

    @property
    def filename(self) -> str:
        """Last part of the URL."""
        return self.url.rpartition("/")[2]

    @property
    def digits(self) -> str:
        """The first eight digits of the SHA-256."""
        return self.filename.rpartition(".")[0][-8:]


def _snu(file: str, config: str) -> Published:
    """A file of the EDSR authors (Seoul National University); ``config`` without ``_div2k``."""
    url = f"https://cv.snu.ac.kr/research/EDSR/models/{file}.pt"
    return Published(url, "edsr-pytorch", f"{config}_div2k")


def _mmlab(scale: int, stamp: str) -> Published:
    """OpenMMLab's EDSR-baseline; ``stamp`` is the date and the hash in the file's name."""
    folder = "https://download.openmmlab.com/mmediting/restorers/edsr"
    url = f"{folder}/edsr_x{scale}c64b16_1x16_300k_div2k_{stamp}.pth"
    return Published(url, "mmediting", f"edsr-mmediting_x{scale}c64b16_g1_300k_div2k")


PUBLISHED = {
    "edsr_baseline_x2": _snu("edsr_baseline_x2-1bc95232", "edsr_x2c64b16_g1_300k"),
    "edsr_baseline_x3": _snu("edsr_baseline_x3-abf2a44e", "edsr_x3c64b16_g1_300k"),
    "edsr_baseline_x4": _snu("edsr_baseline_x4-6b446fab", "edsr_x4c64b16_g1_300k"),
    "edsr_x2": _snu("edsr_x2-0edfb8a3", "edsr_x2c256b32_g1_300k"),
    "edsr_x3": _snu("edsr_x3-ea3ef2c6", "edsr_x3c256b32_g1_300k"),
    "edsr_x4": _snu("edsr_x4-4f62e9ef", "edsr_x4c256b32_g1_300k"),
    "mdsr_baseline": _snu("mdsr_baseline-a00cab12", "mdsr_x2x3x4c64b16_g1_650k"),
    "mdsr": _snu("mdsr-4a78bedf", "mdsr_x2x3x4c64b80_g1_650k"),
    "edsr_mmediting_x2": _mmlab(2, "20200604-19fe95ea"),
    "edsr_mmediting_x3": _mmlab(3, "20200608-36d896f4"),
    "edsr_mmediting_x4": _mmlab(4, "20200608-3c2af8a3"),
}
"""Full name -> published file: edsr_mmediting_* of OpenMMLab, all others of the EDSR authors."""


def fetch(name: str) -> Path:
    """Return the file of a name in `PUBLISHED`; downloads it on first use and checks its hash.

    Raises:
        UserError: it cannot be downloaded or stored, or is not the published file.
    """
    published = PUBLISHED[name]
    file = cache_dir() / published.filename
    if not is_here(name):
        from torch.hub import download_url_to_file

        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            download_url_to_file(published.url, str(file), published.digits, progress=False)
        except (OSError, RuntimeError) as error:  # RuntimeError: wrong hash
            raise UserError(
                f"{name}: cannot be downloaded to {file.parent} ({error}). Set SUPERRES_HOME to a "
                f"folder that can be written and has room, or download {published.url} in another "
                "way and pass its path"
            ) from error
    return file


def is_here(name: str) -> bool:
    """Whether the file of a published name was downloaded before."""
    return (cache_dir() / PUBLISHED[name].filename).is_file()


def shipped() -> dict[str, Path]:
    """Full name -> file of the weights in the package."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}


def variants(name: str) -> dict[int, str]:
    """Scale -> full name for a name without its scale: 2 -> ``edsr-s_x2`` for ``edsr-s``."""
    matches = filter(None, map(_SCALED.fullmatch, (*PUBLISHED, *shipped())))
    return dict(sorted((int(match[2]), match[0]) for match in matches if match[1] == name))


def usual_scale(scales: Collection[int]) -> int:
    """The default among several scales: x4 if it is one of them, else the largest."""
    return USUAL_SCALE if USUAL_SCALE in scales else max(scales)


def model_names() -> list[str]:
    """All model names, without their scale (``edsr-s`` for ``edsr-s_x2``), each once."""
    full = [*shipped(), *PUBLISHED]
    return list(dict.fromkeys(m[1] if (m := _SCALED.fullmatch(name)) else name for name in full))


def resolve(name_or_path: str | Path, scale: int | None) -> Path:
    """Return the weight file for a path, a folder of files named after scales, or a model name.

    A published file is downloaded on first use.

    Raises:
        UserError: no such file or name, or none for this scale; `ScaleNeeded` if there are several
            scales and ``scale`` is None.
    """
    name, path = str(name_or_path), Path(name_or_path).expanduser()
    if os.path.isdir(path):
        return path / choose(sorted(os.listdir(path)), scale, str(path))
    if os.path.isfile(path):  # Path.is_file raises where the name is too long
        return path
    own, by_scale = shipped(), variants(name)
    if by_scale and name not in own and name not in PUBLISHED:
        wanted = next(iter(by_scale)) if scale is None and len(by_scale) == 1 else scale
        if wanted not in by_scale:
            kind = ScaleNeeded if scale is None else UserError
            has = ", ".join(f"x{there}" for there in by_scale)
            advice = "choose one: scale=2, --scale 2" if scale is None else f"not in x{scale}"
            raise kind(f"{name} comes in {has}; {advice}")
        name = by_scale[wanted]
    if name in PUBLISHED:
        return fetch(name)
    if name not in own:
        # 0.6: how similar a name must be to be suggested.
        near = did_you_mean(name.lower(), dict.fromkeys([*model_names(), *own, *PUBLISHED]), 0.6)
        fault = f"no such weight file, and no model of that name{near or '.'}"
        give = f"Give the path of a file ({', '.join(SUFFIXES)}), a name that comes with superres"
        raise UserError(f"{name}: {fault} {give}, or a published one: {', '.join(own | PUBLISHED)}")
    return own[name]


def choose(names: list[str], scale: int | None, where: str) -> str:
    """Return the weight file for ``scale`` among the files of a folder or repository.

    A name with that scale is preferred to names without any, and ``.safetensors`` to other files.

    Args:
        names: all files, weights or not.
        scale: the wanted scale; None if any will do.
        where: names the folder in messages.

    Raises:
        ScaleNeeded: the files are named after scales, and ``scale`` is None.
        UserError: no file fits, or several do.
    """
    scales = {n: scale_in_name(n) for n in names if n.endswith(SUFFIXES) and "/" not in n}
    fits = [n for n in scales if scale in (None, scales[n])] or [n for n in scales if not scales[n]]
    if len(fits) > 1:
        fits = [n for n in fits if n.endswith(".safetensors")]
    if len(fits) == 1:
        return fits[0]
    kind, wanted = UserError, "one weight file, or the name of a file"
    if scale is not None:
        wanted = f"weights for x{scale} in one file"
    elif any(scales.values()):
        kind, wanted = ScaleNeeded, "a scale to choose by"
    raise kind(f"{where}: needs {wanted}; weight files there: {', '.join(scales) or 'none'}")


def scale_in_name(name: str) -> int | None:
    """The scale in a name such as ``edsr_x2.pt`` or ``pytorch_model_2x.pt``; None if not one."""
    matches = re.findall(r"(?:^|[_-])(?:x(\d+)(?![\dx])|(\d+)x(?![a-z\d]))", name)
    scales = {int(after or before) for after, before in matches}
    return scales.pop() if len(scales) == 1 else None
