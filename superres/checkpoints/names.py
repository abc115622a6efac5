"""Names of published weight files: downloaded once, checked by their hash, kept in a cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from superres.errors import UserError
from superres.paths import cache_dir

SNU = "https://cv.snu.ac.kr/research/EDSR/models/"
MMLAB = "https://download.openmmlab.com/mmediting/restorers/edsr/"


@dataclass(frozen=True)
class Published:
    """A weight file that its authors offer for download.

    Attributes:
        url: where; its name ends in the first eight digits of the file's SHA-256.
        format: the format to read it in.
    """

    url: str
    format: str

    @property
    def filename(self) -> str:
        """Last part of the URL."""
        return self.url.rpartition("/")[2]

    @property
    def digits(self) -> str:
        """The first eight digits of the SHA-256."""
        return self.filename.rpartition(".")[0][-8:]


PUBLISHED = {
    "edsr_baseline_x2": Published(SNU + "edsr_baseline_x2-1bc95232.pt", "edsr-pytorch"),
    "edsr_baseline_x3": Published(SNU + "edsr_baseline_x3-abf2a44e.pt", "edsr-pytorch"),
    "edsr_baseline_x4": Published(SNU + "edsr_baseline_x4-6b446fab.pt", "edsr-pytorch"),
    "edsr_x2": Published(SNU + "edsr_x2-0edfb8a3.pt", "edsr-pytorch"),
    "edsr_x3": Published(SNU + "edsr_x3-ea3ef2c6.pt", "edsr-pytorch"),
    "edsr_x4": Published(SNU + "edsr_x4-4f62e9ef.pt", "edsr-pytorch"),
    "mdsr_baseline": Published(SNU + "mdsr_baseline-a00cab12.pt", "edsr-pytorch"),
    "mdsr": Published(SNU + "mdsr-4a78bedf.pt", "edsr-pytorch"),
    **{
        f"edsr_mmediting_x{scale}": Published(
            f"{MMLAB}edsr_x{scale}c64b16_1x16_300k_div2k_{stamp}.pth", "mmediting"
        )
        for scale, stamp in (
            (2, "20200604-19fe95ea"),
            (3, "20200608-36d896f4"),
            (4, "20200608-3c2af8a3"),
        )
    },
}
"""Name -> published file. The edsr_* and mdsr* ones are the EDSR authors' (EDSR-PyTorch)."""


def fetch(name: str) -> Path:
    """The file of a published name, from the cache or downloaded now.

    Raises:
        UserError: it cannot be downloaded or stored, or is not the published file.
    """
    published = PUBLISHED[name]
    file = cache_dir() / published.filename
    by_hand = f"Download {published.url} in another way and pass its path, or put it at {file}."
    if file.is_file():
        return file
    temporary = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        digest = hashlib.sha256()
        with (
            os.fdopen(handle, "wb") as out,
            urllib.request.urlopen(published.url, timeout=30) as page,
        ):
            while block := page.read(1 << 20):
                digest.update(block)
                out.write(block)
        if not digest.hexdigest().startswith(published.digits):
            raise UserError(f"{published.url}: what came is not the published file. {by_hand}")
        os.replace(temporary, file)
    except OSError as error:
        raise UserError(f"{name}: cannot be downloaded ({error}). {by_hand}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return file
