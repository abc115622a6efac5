"""The published sets: where their archives lie, and the way here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from superres.errors import UserError

_DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_"
_EDSR = "https://cv.snu.ac.kr/research/EDSR/"


@dataclass(frozen=True)
class Published:
    """A set that is published as archives.

    Attributes:
        recipe: what prepares it, see `superres data prepare`.
        archives: (address, MD5, scale) of each; the scale of one that holds a low-quality side
            only, else None. The hashes are those that torchSR's and Catalyst's loaders of these
            sets state; the authors of the sets publish none.
        ask: the page to ask for a set that has no public address.
    """

    recipe: str
    archives: tuple[tuple[str, str, int | None], ...] = ()
    ask: str = ""


_BENCHMARK = (_EDSR + "benchmark.tar", "4ace41d33c2384b97e6b320cd0afd6ba", None)
_FLICKR2K = (_EDSR + "Flickr2K.tar", "5d3f39443d5e9489bff8963f8f26cb03", None)
SETS = {
    "DIV2K": Published(
        "div2k",
        (
            (_DIV2K + "train_HR.zip", "bdc2d9338d4e574fe81bf7d158758658", None),
            (_DIV2K + "valid_HR.zip", "9fcdda83005c5e5997799b69f955ff88", None),
            (_DIV2K + "train_LR_bicubic_X2.zip", "9a637d2ef4db0d0a81182be37fb00692", 2),
            (_DIV2K + "valid_LR_bicubic_X2.zip", "1512c9a3f7bde2a1a21a73044e46b9cb", 2),
            (_DIV2K + "train_LR_bicubic_X3.zip", "ad80b9fe40c049a07a8a6c51bfab3b6d", 3),
            (_DIV2K + "valid_LR_bicubic_X3.zip", "18b1d310f9f88c13618c287927b29898", 3),
            (_DIV2K + "train_LR_bicubic_X4.zip", "76c43ec4155851901ebbe8339846d93d", 4),
            (_DIV2K + "valid_LR_bicubic_X4.zip", "21962de700c8d368c6ff83314480eff0", 4),
        ),
    ),
    "Flickr2K": Published("flickr2k", (_FLICKR2K,)),
    **dict.fromkeys(("Set5", "Set14", "B100", "Urban100"), Published("benchmark", (_BENCHMARK,))),
    "Manga109": Published("benchmark", ask="http://www.manga109.org/en/download.html"),
}


def download(
    name: str, folder: Path, scales: tuple[int, ...] = (2, 3, 4), mirror: str | None = None
) -> list[Path]:
    """Fetch a set's archives; what is there already is not fetched again, what is half is resumed.

    A file has its name only when it is whole and its hash is right, before that ``NAME.part``.

    Args:
        name: one of `SETS`.
        folder: where the archives go.
        scales: of the low-quality side, where it has archives of its own.
        mirror: an address that holds the same files, instead of the published ones.

    Raises:
        UserError: no public address, no network, not the published file, a full disk; the message
            holds every address that is missing and the place to put the files.
    """
    known = SETS[name]
    if known.ask:
        text = f"{name} has no public address: ask for it at {known.ask}, put it into {folder},"
        command = f"superres data prepare {known.recipe} --root {folder} --out DATA"
        raise UserError(f"{text} then: {command}")
    files = {
        (f"{mirror.rstrip('/')}/{Path(url).name}" if mirror else url): md5
        for url, md5, scale in known.archives
        if scale in (None, *scales)
    }
    missing = {url: md5 for url, md5 in files.items() if not (folder / Path(url).name).is_file()}
    folder.mkdir(parents=True, exist_ok=True)
    for url, md5 in missing.items():
        part = folder / f"{Path(url).name}.part"
        try:
            from huggingface_hub.file_download import http_get

            with part.open("ab") as file:
                http_get(url, file, resume_size=file.tell(), displayed_filename=part.stem)
        except ImportError:
            text = "data download needs the package huggingface_hub: pip install huggingface_hub"
            raise UserError(text) from None
        except Exception as error:  # of requests or httpx, as huggingface_hub's version has it
            left = "\n".join(f"  {u}" for u in files if not (folder / Path(u).name).is_file())
            text = f"{url}: {error}\nWhat came so far is kept; run the same command to go on"
            text += f". Or put these files into {folder} yourself and run it again:\n{left}"
            raise UserError(text) from None
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != md5:
            part.unlink()
            text = f"{url}: not the published file (MD5 {found}, published {md5}), so it was"
            raise UserError(f"{text} removed. Run the command again, or take it from elsewhere.")
        part.replace(part.with_suffix(""))
    return [folder / Path(url).name for url in files]
