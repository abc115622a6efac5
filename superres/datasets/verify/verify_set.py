"""Look at every image of every set below a folder, and at the sets as wholes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from superres.datasets.fingerprint import CONVENTIONS
from superres.datasets.locate import KNOWN, FoundSet, find_sets, shortfall
from superres.datasets.pair_check import pairs_fault
from superres.datasets.pairing import partner_numbers
from superres.datasets.storage import ImageLmdb, ImageStore, open_store
from superres.datasets.storage.pool import in_order
from superres.datasets.storage.writer import UNFINISHED
from superres.datasets.verify.inspect import Problems, Side, look
from superres.datasets.verify.leakage import Identity
from superres.errors import UserError

Step = Callable[[str], Callable[[int, int, str], None]]
"""Given a text, returns a ``progress(done, total, name)``."""
_T91_TWIN = re.compile(r"t(36|65)(\.\w+)?$")


@dataclass(frozen=True)
class _Options:
    """What was asked for; see :func:`verify`."""

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
    step: Step = lambda text: lambda done, total, name: None,
) -> dict[str, Any]:
    """Verify the sets at or below ``folder``.

    Args:
        folder: one, or several whose sets are also compared with each other.
        scales: which low-quality sides are looked at, and must be there; None takes all that are.
        against: folders of sets none of whose images may occur in the sets of ``folder``.
        count: how many images a set must have, instead of what is known of it by name.
        allow_partial: an incomplete set is not an error.
        degradation: ``auto`` judges the sides that claim to be bicubic; ``any`` judges none;
            else a convention's name that they must follow.
        step: shows what is being done.

    Returns:
        The record that is written as JSON: ``ok``, ``errors`` (a number), and ``sets``, each
        with ``name``, ``gt``, ``count``, ``sides`` and ``problems`` (``severity``, ``fault``,
        ``file``, ``message``).

    Raises:
        UserError: no set is there; an unknown ``degradation``.
    """
    if degradation not in (known := ["auto", "any", *CONVENTIONS]):
        raise UserError(f"--degradation {degradation!r}: there are {', '.join(known)}")
    options = _Options(scales, count, allow_partial, degradation, num_workers, step)
    folders = [folder] if isinstance(folder, str | Path) else list(folder)
    sets = [one for place in folders for one in find_sets(Path(place))]
    looked = [(one, *_verify_set(one, options)) for one in sets]
    # Of sets that only serve for comparison the ground truths are enough.
    others = [FoundSet(o.name, o.gt) for place in against for o in find_sets(Path(place))]
    for other in others:
        open_store(other.gt)  # says why one cannot be opened
    tests = [(other, *_verify_set(other, options)) for other in others]
    for one, record, identity in looked:
        for test, _, images in [*tests, *(o for o in looked if o[0].test and not one.test)]:
            for ours, theirs, how in identity.leaks(images) if test.gt != one.gt else ():
                text = f"occurs in the test set {test.name}, as {theirs}: {how}"
                record["problems"].add("error", "leak", ours, text)
    records = [record for _, record, _ in looked]
    wrong = [p["file"] for r in records for p in r["problems"] if p["severity"] == "error"]
    for side in (side for record in records for side in record["sides"]):
        side["errors"] = sum(file.startswith(side["path"]) for file in wrong)
    return {
        **{"schema": 1, "command": "verify", "dir": ", ".join(map(str, folders))},
        **{"scales": list(scales) if scales else None, "sets": records},
        **{"ok": not wrong, "errors": len(wrong)},
    }


def _verify_set(found: FoundSet, options: _Options) -> tuple[dict[str, Any], Identity]:
    problems, identity = Problems(), Identity()
    record = {"name": found.name, "gt": str(found.gt), "count": 0, "sides": []}
    record["problems"] = problems
    _check_folders(found, problems)
    gt = _open(found.gt, problems)
    if gt is None:
        return record, identity
    record["count"] = len(gt)
    _check_names(found, gt, options, problems)
    sides = _sides(found, gt, options, problems)
    kinds: list[tuple[int, int]] = []
    tallies = [(Counter(), Counter()) for _ in sides]  # of verdicts and of conventions
    progress = options.step(f"{found.name}: looking at every image")
    for i, seen, fault in in_order(partial(look, gt, sides), len(gt), options.num_workers):
        if fault:
            problems.add("error", "decode", gt.label_at(i), fault)
            continue
        problems += seen.problems
        if seen.kind is not None:
            identity.add(gt.label_at(i), seen.digest, seen.small)
            kinds.append(seen.kind)
        for number, *words in seen.verdicts:
            for tally, word in zip(tallies[number], words):
                tally.update([word] if word else [])
        progress(i + 1, len(gt), gt.name_at(i))
    for fault, what, usual, values in zip(
        ("channels", "depth"), ("channels", "bits per sample"), ({1, 3}, {8}), zip(*kinds)
    ):
        counts = sorted(Counter(values).items())
        if len(counts) > 1 or set(values) - usual:
            text = ", ".join(f"{n} images with {value} {what}" for value, n in counts)
            problems.add("note", fault, found.gt, text)
    for pair in identity.duplicates():
        known = found.name.lower() in ("291", "t91") and all(map(_T91_TWIN.search, pair))
        text = f"has the same pixels as {pair[0]}" + (", as in everybody's copy" if known else "")
        problems.add("note" if known else "error", "duplicate", pair[1], text)
    for side, (verdicts, conventions) in zip(sides, tallies):
        # Else each pair has been judged.
        if side.expected is None and (text := pairs_fault(side)):
            problems.add("error", "content", side.lq.path, text)
        for text in side.notes:
            problems.add("note", "content", side.lq.path, text)
        one = {"degradation": side.kind, "scale": side.scale, "path": str(side.lq.path)}
        one |= {"count": len(side.lq), "verdicts": dict(verdicts)}
        record["sides"].append(one | {"conventions": dict(conventions)})
    return record, identity


def _open(path: Path, problems: Problems) -> ImageStore | None:
    try:
        return open_store(path, "unchanged", "keep")
    except UserError as error:
        problems.add("error", "decode", path, str(error))
        return None


def _sides(found: FoundSet, gt: ImageStore, options: _Options, problems: Problems) -> list[Side]:
    """The low-quality sides that are asked for and can be opened."""
    gt_at = {s: store for s, path in found.gt_at.items() if (store := _open(path, problems))}
    sides = []
    for (kind, scale), path in found.lq.items():
        if (options.scales and scale not in options.scales) or not (lq := _open(path, problems)):
            continue
        high = gt_at.get(scale, gt)
        partner = partner_numbers(high, lq, scale)
        for i in np.flatnonzero(np.array(partner) < 0).tolist():
            problems.add("error", "names", high.label_at(i), f"has no partner in {lq.path}")
        for i in sorted(set(range(len(lq))) - set(partner)):
            text = f"has no ground truth of its name in {high.path}"
            problems.add("error", "names", lq.label_at(i), text)
        expected = None if options.degradation == "any" else options.degradation
        if expected == "auto":
            stated = lq.info.get("convention", "matlab") if isinstance(lq, ImageLmdb) else "matlab"
            expected = stated if kind == "bicubic" else None
        sides.append(Side(kind, scale, lq, high, partner, expected))
    return sides


def _check_folders(found: FoundSet, problems: Problems) -> None:
    """Name the folders that are, or may be, a side and are not used as one."""
    for place in found.broken:
        if UNFINISHED in place.fault:
            problems.add("error", "unfinished", place.path, UNFINISHED)
    for text in found.doubts():
        fault = "unreadable" if text in found.unreadable else "unused"
        may_be_lq = fault == "unreadable" or not found.lq
        problems.add("error" if may_be_lq else "note", fault, found.home, text)


def _check_names(found: FoundSet, gt: ImageStore, options: _Options, problems: Problems) -> None:
    """Compare a set's names with those that are known of it, or their number with the wanted."""
    names = list(gt.names())
    if text := shortfall(found.name, options.count, names):
        problems.add("note" if options.allow_partial else "error", "count", found.gt, text)
    known = KNOWN.get(found.name.lower())
    for i, name in enumerate(names if isinstance(known, list) and options.count is None else ()):
        if name not in known:
            text = f"{name!r} is not a name of {found.name} ({known[0]} to {known[-1]})"
            problems.add("error", "names", gt.label_at(i), text)
    for scale in options.scales or ():
        if not any(s == scale for _, s in found.lq):
            # A set of ground truths alone is fine: training makes the rest on the fly.
            text = f"there is no low-quality side for x{scale}"
            problems.add("error" if found.lq else "note", "count", found.gt.parent, text)
