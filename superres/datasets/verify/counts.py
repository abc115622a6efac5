"""Whether a set has the pictures that it should have, and all of one kind."""

from __future__ import annotations

from collections import Counter

from superres.datasets.storage import PictureStore
from superres.datasets.verify.inspect import label, problem
from superres.datasets.verify.sets import FoundSet


def check_names(
    found: FoundSet, gt: PictureStore, count: int | None, allow_partial: bool
) -> list[dict[str, str]]:
    """Compare a set's names with those that are known of it, or ``count`` with their number."""
    expected = found.expected if count is None else count
    severity = "note" if allow_partial else "error"
    where = str(found.gt)
    if expected is None:
        return []
    if isinstance(expected, int):
        if len(gt) == expected:
            return []
        text = f"{len(gt)} pictures, and {found.name} has {expected}"
        return [problem(severity, "count", where, text)]
    problems = []
    missing = [name for name in expected if name not in gt]
    if missing:
        shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if missing[8:] else "")
        text = f"{len(gt)} pictures, {found.name} has {len(expected)}; missing: {shown}"
        problems.append(problem(severity, "count", where, text))
    known = set(expected)
    for i, name in enumerate(gt.names()):
        if name not in known:
            text = f"{name!r} is no name of {found.name} ({expected[0]} to {expected[-1]})"
            problems.append(problem("error", "names", label(gt, i), text))
    return problems


def mixtures(found: FoundSet, kinds: Counter) -> list[dict[str, str]]:
    """Tell of sets whose pictures differ in channels or depth, or are not 8-bit RGB or grey."""
    notes = []
    for what, shown in (("channels", "channels"), ("depth", "bits per sample")):
        values = {value: n for (kind, value), n in kinds.items() if kind == what}
        odd = set(values) - ({1, 3} if what == "channels" else {8})
        if len(values) > 1 or odd:
            text = ", ".join(f"{n} pictures with {v} {shown}" for v, n in sorted(values.items()))
            notes.append(problem("note", what, str(found.gt), text))
    return notes
