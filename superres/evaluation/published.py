"""Published scores, as data: ``published/*.json`` beside this file, and how they are compared.

Each entry says which protocol its numbers were made by, as far as that is known. Numbers that
could not be traced to a publication are left out, and so are cells that are known to be wrong.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superres.errors import UserError, did_you_mean
from superres.evaluation.tables import is_partial

FOLDER = Path(__file__).with_name("published")
NETWORKS = Path(__file__).with_name("published_networks.json")
ON_DISK = {"DIV2K_valid": "DIV2K", "DIV2K_valid_HR": "DIV2K", "BSD100": "B100"}
"""What publications call a set, by what it is called on disk."""
SIZES = {"Set5": 5, "Set14": 14, "B100": 100, "Urban100": 100, "Manga109": 109, "DIV2K": 100}
"""Images in the sets that publications score."""
TOLERANCE = 0.3
"""dB between bicubic's scores of one set: roundings, and MATLAB's two borders, are within it."""
STATED = "--published"
"""How a published network is known whose file does not tell: its user says so."""


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
    if name not in (known := _tables()):
        raise UserError(f"config: published.tables: no table {name!r}, but {', '.join(known)}")
    return known[name]


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
    return [
        entry
        for entry in load_published()
        if (method is None or entry.method.lower() == method.lower())
        and all(value in (None, getattr(entry, key)) for key, value in wanted.items())
    ]


def known_method(method: str) -> list[PublishedScore]:
    """The scores of a method that a user names.

    Raises:
        UserError: no publication here calls a method so; near names are given.
    """
    if not (found := find_published(method)):
        names = sorted({score.method for score in load_published()})
        near = did_you_mean(method, names, 0.4) or f"; known: {', '.join(names)}"
        raise UserError(f"--published: no scores of a method {method!r} are known here{near}")
    return found


def is_published_name(name: str) -> bool:
    """Whether a publication calls a method so, but for spelling and ``+``."""
    letters = functools.partial(re.sub, r"[\W_]", "")
    return letters(name.lower()) in {letters(score.method.lower()) for score in load_published()}


@dataclass
class Standing:
    """What a tested network is, as far as it is known.

    Attributes:
        named: the published method that its config names.
        scores: the published scores of its config's method, with or without self-ensemble.
        why: reasons for which they are left out.
        known_by: how the published network was recognised.
        degradation: by which LR of those scores was made, see :class:`PublishedScore`.
    """

    named: str | None = None
    scores: list[PublishedScore] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    known_by: str | None = None
    degradation: str = "bicubic"

    @property
    def method(self) -> str | None:
        """Its published name; None where it is not, or may not be, the published network."""
        return None if self.why else self.named


def compared(
    entry: Mapping[str, Any],
    of: Standing,
    made_by: str | None,
    others: Mapping[tuple[str, int], str],
) -> dict[str, Any]:
    """The one rule of when a published score stands beside a result.

    Args:
        entry: the result.
        of: what was tested.
        made_by: how the set's low-quality images were made, see ``PublishedScore.degradation``;
            None: not known.
        others: from :func:`of_other_images`.

    Returns:
        The entry with the published score, where both are of the same thing, else with a note.
    """
    why, place, notes = [], (entry["set"], entry["scale"]), []
    if made_by not in (None, of.degradation):
        why.append(f"published scores are of {of.degradation} LR, so they are left out")
    elif of.degradation == "bicubic" and place in others:
        why.append(others[place])
    why += [f"published scores are left out: {reason}" for reason in of.why]
    entry = with_published(entry, of.scores, why)
    if of.known_by == STATED and of.method:
        notes = [f"published network as stated by {STATED}"]
    elif not of.method and is_published_name(entry["method"]):
        notes = ["named by --name: not known to be the published network"]
    return {**entry, "notes": [*entry.get("notes", ()), *notes]} if notes else entry


def of_other_images(baselines: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], str]:
    """Why sets cannot be those of publications: by the same luma, bicubic reaches another score."""
    found = {}
    for entry in baselines:
        by = "classical-y" if entry["protocol"] == "edsr-y" else entry["protocol"]
        name, scale = ON_DISK.get(entry["set"], entry["set"]), entry["scale"]
        for score in find_published("Bicubic", name, scale, by):
            if entry["psnr"] is not None and abs(entry["psnr"] - score.psnr) > TOLERANCE:
                scores = f"{entry['psnr']:.2f} dB here and {score.psnr} dB in publications"
                why = f"bicubic has {scores}: these are not the images of {score.set}"
                found[entry["set"], scale] = f"{why}, so published scores are left out"
    return found


def with_published(
    entry: Mapping[str, Any], scores: Iterable[PublishedScore], why: Iterable[str] = ()
) -> dict[str, Any]:
    """A result with ``published``: the first score of its set, scale and protocol, if any.

    It holds ``method``, ``psnr``, ``ssim``, ``source``, ``note``, and ``difference``. Where it is
    of a set of another number of images than the published one, or there are reasons ``why`` not
    to compare, the result gets notes instead.
    """
    where = (ON_DISK.get(entry["set"], entry["set"]), entry["scale"], entry["protocol"])
    found = next((s for s in scores if (s.set, s.scale, s.protocol) == where), None)
    if found is None:
        return dict(entry)
    other = other_size(entry["set"], len(entry["images"]))
    if reasons := [other] if other else [*why]:
        return {**entry, "notes": [*dict.fromkeys([*entry.get("notes", ()), *reasons])]}
    published = {k: getattr(found, k) for k in ("method", "psnr", "ssim", "source", "note")}
    return {**entry, "published": {**published, "difference": difference(entry, published)}}


def difference(entry: Mapping[str, Any], published: Mapping[str, Any]) -> dict[str, float | None]:
    """Ours less theirs; None where either is not known, or ours is of some images only."""
    return {
        key: None
        if None in (published[key], entry[key]) or is_partial(entry)
        else entry[key] - published[key]
        for key in ("psnr", "ssim")
    }


def other_size(name: str, count: int) -> str:
    """A note on a set of another number of images than publications score; else empty."""
    name = ON_DISK.get(name, name)
    wanted = SIZES.get(name, count)
    return "" if wanted == count else f"{count} images; published scores of {name} are of {wanted}"


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
    found = []
    for entry in content["networks"]:
        known = entry["training"] is not None
        training = {**content["training"], **entry["training"]} if known else None
        lists = {key: tuple(entry.get(key, ())) for key in ("tables", "warm_start", "files")}
        found.append(PublishedNetwork(**{**entry, **lists, "training": training}))
    return tuple(found)


def find_network(method: str, tables: Collection[str]) -> PublishedNetwork | None:
    """The published network whose scores are in all of these tables, or None."""
    return next(
        (n for n in load_networks() if n.method == method and {*tables} <= {*n.tables}), None
    )
