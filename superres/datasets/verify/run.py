"""Look at every picture of every set below a folder, and at the sets as wholes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from superres.datasets.conventions import CONVENTIONS
from superres.datasets.jobs import run_jobs
from superres.datasets.pairing import partner_numbers
from superres.datasets.storage import ImageLmdb, PictureStore, open_store
from superres.datasets.storage.folder import ImageFolder
from superres.datasets.verify.counts import check_names, mixtures
from superres.datasets.verify.inspect import Inspect, Side, label, problem
from superres.datasets.verify.judge import GOOD
from superres.datasets.verify.sets import FoundSet, find_sets
from superres.datasets.verify.twins import Identity, duplicates, leaks
from superres.errors import UserError
from superres.files import unreadable

Step = Callable[[str], Callable[[int, int, str], None]]

_FAULTS = {
    "rounding": "not the exact bicubic, off by rounding",
    "kernel": "not the bicubic",
    "scale": "wrong scale",
    "shifted": "not the bicubic",
    "channels": "not the bicubic",
    "content": "not the bicubic of its ground truth",
}


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
    step = step or (lambda text: lambda done, total, name: None)
    known = ["auto", "any", *(convention.name for convention in CONVENTIONS)]
    if degradation not in known:
        raise UserError(f"--degradation {degradation!r}: there are {', '.join(known)}")
    folders = [folder] if isinstance(folder, str | Path) else list(folder)
    found = [one for place in folders for one in find_sets(Path(place))]
    others = [other for place in against for other in find_sets(Path(place))]
    records, identities = [], []
    for one in found:
        record, identity = _verify_set(
            one, scales, count, allow_partial, degradation, num_workers, step
        )
        records.append(record)
        identities.append(identity)
    tests = [_identify(other, num_workers, step) for other in others]
    for one, record, identity in zip(found, records, identities):
        against_it = list(tests)
        if not one.test:
            against_it += [i for o, i in zip(found, identities) if o.test]
        _find_leaks(record, identity, against_it)
    errors = sum(p["severity"] == "error" for r in records for p in r["problems"])
    return {
        "schema": 1,
        "command": "verify",
        "dir": ", ".join(map(str, folders)),
        "scales": list(scales) if scales else None,
        "ok": errors == 0,
        "errors": errors,
        "sets": records,
    }


def _verify_set(
    found: FoundSet,
    scales: Sequence[int] | None,
    count: int | None,
    allow_partial: bool,
    degradation: str,
    num_workers: int | None,
    step: Step,
) -> tuple[dict[str, Any], Identity | None]:
    problems: list[dict[str, str]] = []
    record: dict[str, Any] = {
        "name": found.name,
        "gt": str(found.gt),
        "count": 0,
        "sides": [],
        "problems": problems,
    }
    for path in found.unfinished:
        text = "packing was interrupted; run the same prepare or pack command again"
        problems.append(problem("error", "unfinished", str(path), text))
    for text in found.unused:
        severity = "note" if found.lq else "error"  # where it may be the LR
        problems.append(problem(severity, "unused", str(found.home), text))
    gt = _open(found.gt, problems)
    if gt is None:
        return record, None
    record["count"] = len(gt)
    problems += check_names(found, gt, count, allow_partial)
    gt_at = {s: store for s, path in found.gt_at.items() if (store := _open(path, problems))}
    for scale in scales or ():
        if not any(s == scale for _, s in found.lq):
            # A set of ground truths alone is fine: training makes the rest on the fly.
            text = f"there is no low-quality side for x{scale}"
            severity = "error" if found.lq else "note"
            problems.append(problem(severity, "count", str(found.gt.parent), text))
    sides = []
    for (kind, scale), path in found.lq.items():
        if scales and scale not in scales:
            continue
        store = _open(path, problems)
        if store is not None:
            side = Side(kind, scale, store, [], _expected(kind, store, degradation))
            side.partner = _partners(gt_at.get(scale, gt), side, problems)
            sides.append(side)
    inspect = Inspect(gt, gt_at, sides)
    identity = Identity(found.name, gt)
    verdicts: dict[str, Counter] = {f"{s.kind} X{s.scale}": Counter() for s in sides}
    kinds: Counter = Counter()
    progress = step(f"{found.name}: verifying")
    for i, result in run_jobs(inspect, len(gt), num_workers):
        if isinstance(result, str):
            problems.append(problem("error", "decode", label(gt, i), result))
            continue
        problems += result["problems"]
        for name, verdict in result["verdicts"].items():
            verdicts[name][verdict["kind"], verdict["convention"]] += 1
            if verdict["kind"] not in GOOD:
                text = f"{_FAULTS[verdict['kind']]}: {verdict['detail']}; of {verdict['gt']}"
                problems.append(problem("error", verdict["kind"], verdict["file"], text))
        if "hash" in result:
            identity.add(i, result["hash"], result["signature"])
            kinds["channels", result["channels"]] += 1
            kinds["depth", result["bits"]] += 1
        progress(i + 1, len(gt), gt.name_at(i))
    problems += mixtures(found, kinds)
    for fault in problems:
        if fault["fault"] == "decode" and os.path.lexists(fault["file"]):
            fault["fault"] = "unreadable" if unreadable(fault["file"]) else "decode"
    for first, second in duplicates(identity):
        known = found.known_duplicate(first, second)
        text = f"has the same pixels as {first}" + (", as in everybody's copy" if known else "")
        problems.append(problem("note" if known else "error", "duplicate", second, text))
    for side in sides:
        record["sides"].append(_side_record(side, verdicts[f"{side.kind} X{side.scale}"]))
    return record, identity


def _open(path: Path, problems: list[dict[str, str]]) -> PictureStore | None:
    try:
        return open_store(path, "unchanged", "keep")
    except UserError as error:
        problems.append(problem("error", "decode", str(path), str(error)))
        return None


def _expected(kind: str, store: PictureStore, degradation: str) -> str | None:
    if degradation == "any" or (degradation == "auto" and kind != "bicubic"):
        return None
    if degradation != "auto":
        return degradation
    return store.info.get("convention", "matlab") if isinstance(store, ImageLmdb) else "matlab"


def _partners(gt: PictureStore, side: Side, problems: list[dict[str, str]]) -> list[int]:
    numbers = partner_numbers(gt, side.store, side.scale)
    used = set(numbers)
    for i, number in enumerate(numbers):
        if number < 0:
            text = f"has no partner in {side.store.path}"
            problems.append(problem("error", "names", label(gt, i), text))
    for i in range(len(side.store)):
        if i not in used:
            text = f"has no ground truth of its name in {gt.path}"
            problems.append(problem("error", "names", label(side.store, i), text))
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


def _identify(found: FoundSet, num_workers: int | None, step: Step) -> Identity | None:
    """Hashes and signatures of a set that only serves for comparison."""
    gt = open_store(found.gt, "unchanged", "keep")
    identity = Identity(found.name, gt)
    progress = step(f"{found.name}: reading")
    for i, result in run_jobs(Inspect(gt, {}, []), len(gt), num_workers):
        if not isinstance(result, str) and "hash" in result:
            identity.add(i, result["hash"], result["signature"])
        progress(i + 1, len(gt), gt.name_at(i))
    return identity


def _find_leaks(
    record: dict[str, Any], train: Identity | None, tests: list[Identity | None]
) -> None:
    for test in tests:
        if train is None or test is None or test.store.path == train.store.path:
            continue
        for ours, theirs, how in leaks(train, test):
            text = f"occurs in the test set {test.name}, as {theirs}: {how}"
            record["problems"].append(problem("error", "leak", ours, text))
