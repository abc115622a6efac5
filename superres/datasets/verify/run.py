"""Look at every picture of every set below a folder, and at the sets as wholes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superres.datasets.conventions import CONVENTIONS
from superres.datasets.pairing import partner_numbers
from superres.datasets.storage import ImageLmdb, PictureStore, open_store
from superres.datasets.storage.folder import ImageFolder
from superres.datasets.storage.pool import in_order
from superres.datasets.verify.inspect import Inspect, Problems, Side, label
from superres.datasets.verify.sets import FoundSet, find_sets
from superres.datasets.verify.twins import Identity, duplicates, leaks
from superres.errors import UserError, some
from superres.files import unreadable

Step = Callable[[str], Callable[[int, int, str], None]]


@dataclass(frozen=True)
class _Wish:
    """What a person asked for; see :func:`verify`."""

    scales: Sequence[int] | None
    count: int | None
    allow_partial: bool
    degradation: str
    num_workers: int | None
    step: Step


def verify(
    folder: str | Path | Sequence[str | Path],
    scales: Sequence[int] | None = None,
    *,
    against: Iterable[str | Path] = (),
    count: int | None = None,
    allow_partial: bool = False,
    degradation: str = "auto",
    num_workers: int | None = None,
    step: Step | None = None,
) -> dict[str, Any]:
    """Verify the sets at or below ``folder``.

    Args:
        folder: one, or several whose sets are also compared with each other.
        scales: which low-quality sides are looked at, and must be there; None takes all that are.
        against: folders of sets none of whose pictures may occur in the sets of ``folder``.
        count: how many pictures a set must have, instead of what is known of it by name.
        allow_partial: an incomplete set is no error.
        degradation: ``auto`` judges the sides that claim to be bicubic; ``any`` judges none;
            else a convention's name that they must follow.
        step: given a text, gives a ``progress(done, total, name)``.

    Returns:
        The record that is written as JSON: ``ok``, ``errors`` (a number), and ``sets``, each
        with ``name``, ``gt``, ``count``, ``sides`` and ``problems`` (``severity``, ``fault``,
        ``file``, ``message``).

    Raises:
        UserError: there is no set; an unknown ``degradation``.
    """
    known = ["auto", "any", *(convention.name for convention in CONVENTIONS)]
    if degradation not in known:
        raise UserError(f"--degradation {degradation!r}: there are {', '.join(known)}")
    silent = step or (lambda text: lambda done, total, name: None)
    wish = _Wish(scales, count, allow_partial, degradation, num_workers, silent)
    folders = [folder] if isinstance(folder, str | Path) else list(folder)
    found = [one for place in folders for one in find_sets(Path(place))]
    looked = [(one, *_verify_set(one, wish)) for one in found]
    tests = [_identify(other, wish) for place in against for other in find_sets(Path(place))]
    for one, record, identity in looked:
        others = [] if one.test else [i for other, _, i in looked if other.test]
        for test in (*tests, *others):
            if identity and test and test.store.path != identity.store.path:
                for ours, theirs, how in leaks(identity, test):
                    text = f"occurs in the test set {test.name}, as {theirs}: {how}"
                    record["problems"].add("error", "leak", ours, text)
    records = [record for _, record, _ in looked]
    for record in records:
        wrong = [p["file"] for p in record["problems"] if p["severity"] == "error"]
        for side in record["sides"]:
            side["errors"] = sum(file.startswith(side["path"]) for file in wrong)
    errors = sum(p["severity"] == "error" for record in records for p in record["problems"])
    return {
        "schema": 1,
        "command": "verify",
        "dir": ", ".join(map(str, folders)),
        "scales": list(scales) if scales else None,
        "ok": errors == 0,
        "errors": errors,
        "sets": records,
    }


def _verify_set(found: FoundSet, wish: _Wish) -> tuple[dict[str, Any], Identity | None]:
    problems = Problems()
    record: dict[str, Any] = {
        "name": found.name,
        "gt": str(found.gt),
        "count": 0,
        "sides": [],
        "problems": problems,
    }
    for path in found.unfinished:
        text = "packing was interrupted; run the same prepare or pack command again"
        problems.add("error", "unfinished", path, text)
    unused = [f"{path} holds images and is not used" for path in found.unused]
    for text in (*unused, *filter(None, [found.unread])):  # an error where it may be the LR
        problems.add("note" if found.lq else "error", "unused", found.home, text)
    gt = _open(found.gt, problems)
    if gt is None:
        return record, None
    record["count"] = len(gt)
    _check_names(found, gt, wish, problems)
    gt_at = {s: store for s, path in found.gt_at.items() if (store := _open(path, problems))}
    for scale in wish.scales or ():
        if not any(s == scale for _, s in found.lq):
            # A set of ground truths alone is fine: training makes the rest on the fly.
            text = f"there is no low-quality side for x{scale}"
            problems.add("error" if found.lq else "note", "count", found.gt.parent, text)
    sides = []
    for (kind, scale), path in found.lq.items():
        if wish.scales and scale not in wish.scales:
            continue
        if (store := _open(path, problems)) is not None:
            side = Side(kind, scale, store, [], _expected(kind, store, wish.degradation))
            side.partner = _partners(gt_at.get(scale, gt), side, problems)
            sides.append(side)
    identity = Identity(found.name, gt)
    kinds: Counter = Counter()
    verdicts: dict[tuple[str, int], Counter] = {(s.kind, s.scale): Counter() for s in sides}
    for result in _look(identity, gt_at, sides, wish, problems):
        for key, verdict in result["verdicts"]:
            verdicts[key][verdict] += 1
        if "hash" in result:
            kinds["channels", result["channels"]] += 1
            kinds["bits per sample", result["bits"]] += 1
    _tell_mixtures(found, kinds, problems)
    for fault in problems:
        if fault["fault"] == "decode" and os.path.lexists(fault["file"]):
            fault["fault"] = "unreadable" if unreadable(fault["file"]) else "decode"
    for first, second in duplicates(identity):
        known = found.known_duplicate(first, second)
        text = f"has the same pixels as {first}" + (", as in everybody's copy" if known else "")
        problems.add("note" if known else "error", "duplicate", second, text)
    record["sides"] = [_side_record(side, verdicts[side.kind, side.scale]) for side in sides]
    return record, identity


def _look(
    identity: Identity,
    gt_at: dict[int, PictureStore],
    sides: list[Side],
    wish: _Wish,
    problems: Problems,
) -> Iterator[dict[str, Any]]:
    """What is found in each picture of a set."""
    gt = identity.store
    progress = wish.step(f"{identity.name}: looking at every picture")
    for i, result, fault in in_order(Inspect(gt, gt_at, sides), len(gt), wish.num_workers):
        if fault:
            problems.add("error", "decode", label(gt, i), fault)
        else:
            problems += result["problems"]
            if "hash" in result:
                identity.add(i, result["hash"], result["signature"])
            yield result
        progress(i + 1, len(gt), gt.name_at(i))


def _identify(found: FoundSet, wish: _Wish) -> Identity:
    """Hashes and signatures of a set that only serves for comparison."""
    identity = Identity(found.name, open_store(found.gt, "unchanged", "keep"))
    for _ in _look(identity, {}, [], wish, Problems()):
        pass
    return identity


def _open(path: Path, problems: Problems) -> PictureStore | None:
    try:
        return open_store(path, "unchanged", "keep")
    except UserError as error:
        problems.add("error", "decode", path, str(error))
        return None


def _expected(kind: str, store: PictureStore, degradation: str) -> str | None:
    if degradation == "any" or (degradation == "auto" and kind != "bicubic"):
        return None
    if degradation != "auto":
        return degradation
    return store.info.get("convention", "matlab") if isinstance(store, ImageLmdb) else "matlab"


def _partners(gt: PictureStore, side: Side, problems: Problems) -> list[int]:
    numbers = partner_numbers(gt, side.store, side.scale)
    for i in np.flatnonzero(np.array(numbers) < 0).tolist():
        problems.add("error", "names", label(gt, i), f"has no partner in {side.store.path}")
    for i in sorted(set(range(len(side.store))) - set(numbers)):
        text = f"has no ground truth of its name in {gt.path}"
        problems.add("error", "names", label(side.store, i), text)
    return numbers


def _side_record(side: Side, verdicts: Counter) -> dict[str, Any]:
    by_kind: Counter = Counter()
    conventions: Counter = Counter()
    for (kind, convention), n in verdicts.items():
        by_kind[kind] += n
        if convention:
            conventions[convention] += n
    return {
        "degradation": side.kind,
        "scale": side.scale,
        "path": str(side.store.path),
        "count": len(side.store),
        "stored": "files" if isinstance(side.store, ImageFolder) else "packed",
        "verdicts": dict(by_kind),
        "conventions": dict(conventions),
    }


def _check_names(found: FoundSet, gt: PictureStore, wish: _Wish, problems: Problems) -> None:
    """Compare a set's names with those that are known of it, or their number with the wanted."""
    expected = found.expected if wish.count is None else wish.count
    severity = "note" if wish.allow_partial else "error"
    if isinstance(expected, int):
        if len(gt) != expected:
            text = f"{len(gt)} pictures, and {found.name} has {expected}"
            problems.add(severity, "count", found.gt, text)
        return
    missing = [name for name in expected or () if name not in gt]
    if missing:
        text = f"{len(gt)} pictures, {found.name} has {len(expected)}; missing: {some(missing)}"
        problems.add(severity, "count", found.gt, text)
    for i, name in enumerate(gt.names() if expected else ()):
        if name not in expected:
            text = f"{name!r} is no name of {found.name} ({expected[0]} to {expected[-1]})"
            problems.add("error", "names", label(gt, i), text)


def _tell_mixtures(found: FoundSet, kinds: Counter, problems: Problems) -> None:
    """Tell of sets whose pictures differ in channels or depth, or are not 8-bit RGB or grey."""
    for what, usual in (("channels", {1, 3}), ("bits per sample", {8})):
        values = {value: n for (kind, value), n in kinds.items() if kind == what}
        if len(values) > 1 or set(values) - usual:
            text = ", ".join(f"{n} pictures with {v} {what}" for v, n in sorted(values.items()))
            problems.add("note", what.split()[0].replace("bits", "depth"), found.gt, text)
