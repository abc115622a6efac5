"""Look at every image of every set below a folder, and at the sets as wholes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from superres.datasets.fingerprint import CONVENTIONS
from superres.datasets.locate import KNOWN, FoundSet, find_sets, shortfall
from superres.datasets.pack import in_order
from superres.datasets.pairing import pairs_fault, partner_numbers
from superres.datasets.storage import ImageLmdb, ImageStore, open_store
from superres.datasets.storage.folder import Loaded
from superres.datasets.verify.inspect import Identity, Problems, Side, look
from superres.errors import UserError

Step = Callable[[str], Callable[[int, int, str], None]]
"""Given a text, returns a ``progress(done, total, name)``."""
_T91_TWIN = re.compile(r"t(36|65)(\.\w+)?$")


class _Options(NamedTuple):
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
    problems = Problems()
    for fault, path, text in found.doubts:
        severity = "note" if fault == "unused" and found.lq else "error"
        problems.add(severity, fault, path, text)
    gt = _open(found.gt, problems) or Loaded(found.gt, [])
    record = {"name": found.name, "gt": str(found.gt), "count": len(gt), "sides": []}
    record["problems"], identity = problems, Identity(gt)
    if not len(gt):
        return record, identity
    _check_names(found, gt, options, problems)
    sides = _sides(found, gt, options, problems)
    work = partial(look, gt, sides, identity)
    progress = options.step(f"{found.name}: looking at every image")
    for i, seen, fault in in_order(work, len(gt), options.num_workers):
        if fault:
            problems.add("error", "decode", gt.label_at(i), fault)
        problems += seen or []
        progress(i + 1, len(gt), gt.name_at(i))
    for pair in identity.duplicates():
        known = found.name.lower() in ("291", "t91") and all(map(_T91_TWIN.search, pair))
        text = f"has the same pixels as {pair[0]}" + (", as in everybody's copy" if known else "")
        problems.add("note" if known else "error", "duplicate", pair[1], text)
    for side in sides:
        # Else each pair has been judged.
        if side.expected is None and (text := pairs_fault(side)):
            problems.add("error", "content", side.lq.path, text)
        for text in side.notes:
            problems.add("note", "content", side.lq.path, text)
        one = {"degradation": side.kind, "scale": side.scale, "path": str(side.lq.path)}
        one |= {"count": len(side.lq), "verdicts": Counter(v.kind for v in side.verdicts)}
        one["conventions"] = Counter(v.convention for v in side.verdicts if v.convention)
        record["sides"].append(one)
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
        for i in [i for i, number in enumerate(partner) if number < 0]:
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
