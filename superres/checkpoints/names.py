"""Names of published weight files: downloaded once, checked by their hash, kept in a cache."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from superres.errors import UserError
from superres.files import Lock
from superres.paths import cache_dir

SNU = "https://cv.snu.ac.kr/research/EDSR/models/"
MMLAB = "https://download.openmmlab.com/mmediting/restorers/edsr/"


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


PUBLISHED = {
    **{
        f"edsr_baseline_x{scale}": Published(
            f"{SNU}edsr_baseline_x{scale}-{digits}.pt",
            "edsr-pytorch",
            f"edsr_x{scale}c64b16_g1_300k_div2k",
        )
        for scale, digits in ((2, "1bc95232"), (3, "abf2a44e"), (4, "6b446fab"))
    },
    **{
        f"edsr_x{scale}": Published(
            f"{SNU}edsr_x{scale}-{digits}.pt", "edsr-pytorch", f"edsr_x{scale}c256b32_g1_300k_div2k"
        )
        for scale, digits in ((2, "0edfb8a3"), (3, "ea3ef2c6"), (4, "4f62e9ef"))
    },
    "mdsr_baseline": Published(
        SNU + "mdsr_baseline-a00cab12.pt", "edsr-pytorch", "mdsr_x2x3x4c64b16_g1_650k_div2k"
    ),
    "mdsr": Published(SNU + "mdsr-4a78bedf.pt", "edsr-pytorch", "mdsr_x2x3x4c64b80_g1_650k_div2k"),
    **{
        f"edsr_mmediting_x{scale}": Published(
            f"{MMLAB}edsr_x{scale}c64b16_1x16_300k_div2k_{stamp}.pth",
            "mmediting",
            f"edsr-mmediting_x{scale}c64b16_g1_300k_div2k",
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

    A download that broke off is gone on with, also by a later call; the file takes its place
    whole and checked.

    Raises:
        UserError: it cannot be downloaded or stored, or is not the published file.
    """
    import urllib.error

    published = PUBLISHED[name]
    file = cache_dir() / published.filename
    if file.is_file():
        return file
    by_hand = f"Download {published.url} in another way and pass its path, or put it at {file}."
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        busy = f"{name}: {{holder}} is downloading it now; wait for it"
        with part.open("ab") as out, Lock(part.with_suffix(".lock"), busy, remove=True):
            if file.is_file():  # made by the process that had the lock
                part.unlink(missing_ok=True)
                return file
            for last in (False, False, True):
                try:
                    _go_on(published.url, out)
                    break
                except OSError:
                    if last:
                        raise
        with part.open("rb") as whole:
            digest = hashlib.file_digest(whole, "sha256").hexdigest()
        if not digest.startswith(published.digits):
            part.unlink()
            raise UserError(f"{published.url}: what came is not the published file. {by_hand}")
        os.replace(part, file)
    except OSError as error:
        if part.is_file() and not part.stat().st_size:
            part.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        # An answer such as 404 has a file name, too: its address.
        if full or (error.filename and not isinstance(error, urllib.error.URLError)):
            by_hand = (
                f"Set SUPERRES_HOME to a folder that can be written and has room, or download "
                f"{published.url} in another way and pass its path."
            )
        raise UserError(f"{name}: cannot be downloaded ({error}). {by_hand}") from error
    return file


def _go_on(url: str, out: BinaryIO) -> None:
    """Download to the end of a file that may hold the beginning already; OSError if it breaks."""
    import http.client
    import urllib.error
    import urllib.request

    have = out.seek(0, os.SEEK_END)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        page = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # nothing is left to come
            return
        raise
    with page:
        if have and getattr(page, "status", None) != 206:  # it sends everything again
            out.truncate(0)
            have = 0
        while block := page.read(1 << 20):
            out.write(block)
            have += len(block)
        out.flush()
        left = page.length if isinstance(page, http.client.HTTPResponse) else 0
        if left:
            raise ConnectionError(f"the connection broke {left} bytes before the end")
