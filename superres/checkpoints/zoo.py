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
"""Files named ``NAME_xSCALE.safetensors``, or ``NAME.safetensors`` for a network of several."""

DEFAULT = "edsr-s"
"""What commands take where no model is named."""

USUAL_SCALE = 4
"""Where neither the user nor the model settles the scale."""

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
"""Of weight files."""

_SCALED = re.compile(r"(.+)_x(\d+)")


@dataclass(frozen=True)
class Published:
    """A weight file that its authors offer for download.

    Attributes:
        url: where; its name ends in the first eight digits of the file's SHA-256.
        format: the format to read it in.
        config: bare name of the config here whose network it is, if there is one.
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
    url = f"https://cv.snu.ac.kr/research/EDSR/models/{file}.pt"
    return Published(url, "edsr-pytorch", f"{config}_div2k")


def _mmlab(scale: int, stamp: str) -> Published:
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
"""Name -> published file. The edsr_* and mdsr* ones are the EDSR authors' (EDSR-PyTorch)."""


def fetch(name: str) -> Path:
    """The file of a published name, from the cache or downloaded now, checked by its hash.

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
        except (OSError, RuntimeError) as error:  # RuntimeError: the hash is another one
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
    """Full name -> file, of the weights that come with the package."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}


def variants(name: str) -> dict[int, str]:
    """Scale -> full name of what goes by ``name`` without a scale (``edsr-s``)."""
    matches = filter(None, map(_SCALED.fullmatch, (*PUBLISHED, *shipped())))
    return dict(sorted((int(match[2]), match[0]) for match in matches if match[1] == name))


def usual_scale(scales: Collection[int]) -> int:
    """The scale that is taken of several where nobody asks for one: x4, else the largest."""
    return USUAL_SCALE if USUAL_SCALE in scales else max(scales)


def model_names() -> list[str]:
    """All names, those with several scales by their short one."""
    full = [*shipped(), *PUBLISHED]
    return list(dict.fromkeys(m[1] if (m := _SCALED.fullmatch(name)) else name for name in full))


def resolve(name_or_path: str | Path, scale: int | None) -> Path:
    """The weight file that is meant: a path, a folder with files named after scales, or a name.

    Raises:
        UserError: no such file or name, or a name or folder with several weight files and no
            ``scale`` to choose.
    """
    name, path = str(name_or_path), Path(name_or_path).expanduser()
    if os.path.isdir(path):
        return path / choose(sorted(os.listdir(path)), scale, str(path))
    if os.path.isfile(path):  # Path.is_file raises where the name is too long
        return path
    own, found = shipped(), variants(name)
    if found and name not in own and name not in PUBLISHED:
        wanted = next(iter(found)) if scale is None and len(found) == 1 else scale
        if wanted not in found:
            kind = ScaleNeeded if scale is None else UserError
            has = ", ".join(f"x{there}" for there in found)
            advice = "say which: scale=2, --scale 2" if scale is None else f"not for x{scale}"
            raise kind(f"{name} is there for {has}; {advice}")
        name = found[wanted]
    if name in PUBLISHED:
        return fetch(name)
    if name not in own:
        near = did_you_mean(name.lower(), dict.fromkeys([*model_names(), *own, *PUBLISHED]), 0.6)
        fault = f"no such weight file, and no model of that name{near or '.'}"
        give = f"Give the path of a file ({', '.join(SUFFIXES)}), a name that comes with superres"
        raise UserError(f"{name}: {fault} {give}, or a published one: {', '.join(own | PUBLISHED)}")
    return own[name]


def choose(names: list[str], scale: int | None, where: str) -> str:
    """The weight file for ``scale`` among the files of a folder or repository.

    Raises:
        ScaleNeeded: they are named after scales, and none is given to choose by.
        UserError: none, or several that it could be.
    """
    named = {n: scale_in_name(n) for n in names if n.endswith(SUFFIXES) and "/" not in n}
    fitting = [n for n in named if scale in (None, named[n])] or [n for n in named if not named[n]]
    if len(fitting) > 1:
        fitting = [n for n in fitting if n.endswith(".safetensors")]
    if len(fitting) == 1:
        return fitting[0]
    kind, wanted = UserError, "one weight file, or the name of a file"
    if scale is not None:
        wanted = f"weights for x{scale} in one file"
    elif any(named.values()):
        kind, wanted = ScaleNeeded, "a scale to choose by"
    raise kind(f"{where}: needs {wanted}; weight files there: {', '.join(named) or 'none'}")


def scale_in_name(name: str) -> int | None:
    """The scale in a file name such as ``edsr_x2.pt`` or ``pytorch_model_2x.pt``, if it is one."""
    found = re.findall(r"(?:^|[_-])(?:x(\d+)(?![\dx])|(\d+)x(?![a-z\d]))", name)
    scales = {int(first or second) for first, second in found}
    return scales.pop() if len(scales) == 1 else None
