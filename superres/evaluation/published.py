"""Published scores, as data: ``published/*.json`` beside this file.

Each entry says which protocol its numbers were made by, as far as that is known. Numbers that
could not be traced to a publication are left out, and so are cells that are known to be wrong.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superres.errors import UserError, did_you_mean

FOLDER = Path(__file__).with_name("published")
NETWORKS = Path(__file__).with_name("published_networks.json")


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
def _tables() -> dict[str, list[PublishedScore]]:
    """The files of ``published/`` by their names."""
    return {
        path.stem: [PublishedScore(**e) for e in json.loads(path.read_text(encoding="utf-8"))]
        for path in sorted(FOLDER.glob("*.json"))
    }


def load_published() -> list[PublishedScore]:
    """All entries, file by file in the order of their names."""
    return [score for scores in _tables().values() for score in scores]


def load_table(name: str) -> list[PublishedScore]:
    """The entries of one file of ``published/``.

    Raises:
        UserError: there is not a table of that name.
    """
    if name not in _tables():
        known = ", ".join(_tables())
        raise UserError(f"config: published.tables: there is no table {name!r}, but {known}")
    return _tables()[name]


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


def known_method(method: str) -> list[PublishedScore]:
    """The scores of a method that a user names.

    Raises:
        UserError: no publication here calls a method so; near names are given.
    """
    found = find_published(method)
    if not found:
        names = sorted({score.method for score in load_published()})
        near = did_you_mean(method, names, 0.4)
        raise UserError(
            f"--published: no scores of a method {method!r} are known here"
            + (near or f"; known: {', '.join(names)}")
        )
    return found


@dataclass(frozen=True)
class PublishedNetwork:
    """What a published method is, beside its scores: the facts that its name stands for.

    Attributes:
        method: as in :class:`PublishedScore`, without ``+``.
        tables: the files of ``published/`` that hold its scores.
        network: the backbone's ``type`` and arguments, but for ``scale`` and ``init``.
        training: the training set, its number of images and the recipe; None where that is not
            known, or is one that no config here repeats.
        warm_start: scales at which it was trained from another scale's weights.
        files: the first digits of the SHA-256 of the weight files that its authors offer.
    """

    method: str
    tables: tuple[str, ...]
    network: Mapping[str, Any]
    training: Mapping[str, Any] | None
    warm_start: tuple[int, ...] = ()
    files: tuple[str, ...] = ()


@functools.cache
def load_networks() -> tuple[PublishedNetwork, ...]:
    """All published networks that are described here."""
    content = json.loads(NETWORKS.read_text(encoding="utf-8"))
    return tuple(
        PublishedNetwork(
            entry["method"],
            tuple(entry["tables"]),
            entry["network"],
            None if entry["training"] is None else {**content["training"], **entry["training"]},
            tuple(entry.get("warm_start", ())),
            tuple(entry.get("files", ())),
        )
        for entry in content["networks"]
    )


def find_network(method: str, tables: Collection[str]) -> PublishedNetwork | None:
    """The published network whose scores are in all of these tables, or None."""
    return next(
        (n for n in load_networks() if n.method == method and {*tables} <= {*n.tables}), None
    )


def is_published_name(name: str) -> bool:
    """Whether a publication calls a method so, but for spelling and ``+``."""
    letters = functools.partial(re.sub, r"[\W_]", "")
    return letters(name.lower()) in {letters(score.method.lower()) for score in load_published()}
