"""Published scores, as data: ``published/*.json`` beside this file.

Each entry says which protocol its numbers were made by, as far as that is known. Numbers that
could not be traced to a publication are left out, and so are cells that are known to be wrong.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("published")


@dataclass(frozen=True)
class PublishedScore:
    """One cell of a published table.

    Attributes:
        method: as the publication calls it; ``+`` marks self-ensemble.
        scale, set, protocol: protocol is a name of ``superres.evaluation.protocols``.
        psnr: dB, as printed.
        ssim: as printed, or None where the publication gives none.
        source: the publication.
        degradation: how LR was made from HR: ``bicubic`` or ``blur-down``.
        note: what a reader should know before comparing.
    """

    method: str
    scale: int
    set: str
    protocol: str
    psnr: float
    ssim: float | None
    source: str
    degradation: str = "bicubic"
    note: str = ""


@functools.cache
def load_published() -> tuple[PublishedScore, ...]:
    """All entries, file by file in the order of their names."""
    return tuple(
        PublishedScore(**entry)
        for path in sorted(FOLDER.glob("*.json"))
        for entry in json.loads(path.read_text(encoding="utf-8"))
    )


def find_published(
    method: str | None = None,
    set: str | None = None,
    scale: int | None = None,
    protocol: str | None = None,
    degradation: str = "bicubic",
) -> list[PublishedScore]:
    """The entries that match everything given; several sources may have measured one cell.

    Example:
        >>> [entry.psnr for entry in find_published("EDSR", "Set5", 2, "edsr-y")]
        [38.11]
    """
    wanted = {"set": set, "scale": scale, "protocol": protocol, "degradation": degradation}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    return [
        entry
        for entry in load_published()
        if (method is None or entry.method.lower() == method.lower())
        and all(getattr(entry, key) == value for key, value in wanted.items())
    ]
