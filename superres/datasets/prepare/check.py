"""Compare the names and sizes of a plan before anything is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from superres.datasets.prepare.plan import SetPlan
from superres.datasets.prepare.source import Entry
from superres.errors import UserError, some
from superres.imaging.io import ImageHeader, image_header

_SHOWN = 10


def check_plan(
    plan: SetPlan,
    scales: tuple[int, ...],
    allow_partial: bool,
    progress: Callable[[int, int, str], None] | None = None,
) -> None:
    """Drop the low-quality sides that nobody asked for, and compare the others with their partners.

    Pictures whose header cannot be read are left to the packer, which reports them.

    Raises:
        UserError: a low-quality side lacks pictures, or is not of the scale that it claims;
            a ground truth that is smaller than a scale.
    """
    plan.lq = {key: pictures for key, pictures in plan.lq.items() if key[1] in scales}
    headers: dict[Entry, ImageHeader] = {}
    entries = [e for side in (plan.gt, *plan.lq.values(), *plan.gt_at.values())
               for e in side.values()]  # fmt: skip
    for done, entry in enumerate(entries, start=1):
        with contextlib.suppress(UserError):
            headers[entry] = image_header(entry.file)
        if progress is not None:
            progress(done, len(entries), entry.stem)
    largest = max(scales, default=1)
    for entry in plan.gt.values():
        header = headers.get(entry)
        if header and min(header.height, header.width) < largest:
            raise UserError(
                f"{entry.file}: {header.width}x{header.height} pixels, too small for scale "
                f"{largest}. Remove it, or prepare smaller scales (--scales)."
            )
    for key, lq in list(plan.lq.items()):
        gt = plan.gt_at.get(key[1], plan.gt)
        if not _check_names(plan, key, gt, lq, allow_partial):
            del plan.lq[key]
            continue
        pairs = [(lq[name], gt[name]) for name in lq]
        wrong = [_wrong(*pair, key[1], headers) for pair in pairs if headers.keys() >= {*pair}]
        wrong = [text for text in wrong if text]
        if wrong:
            more = f"\n  ... and {len(wrong) - _SHOWN} more" if wrong[_SHOWN:] else ""
            listed = "\n  ".join(wrong[:_SHOWN])
            raise UserError(
                f"{len(wrong)} low-quality pictures have the wrong size:\n  {listed}{more}"
            )


def _check_names(
    plan: SetPlan,
    key: tuple[str, int],
    gt: dict[str, Entry],
    lq: dict[str, Entry],
    allow_partial: bool,
) -> bool:
    """Whether the low-quality side can be used; what has no ground truth is taken out of it."""
    what = f"{plan.name}, LR_{key[0]} X{key[1]}"
    for name in [name for name in lq if name not in gt]:
        plan.notes.append(f"{what}: {lq.pop(name).file} has no ground truth, left out")
    missing = [name for name in gt if name not in lq]
    if not missing:
        return True
    if not allow_partial:
        bicubic = ", or move that folder or archive away: it is then made by the exact bicubic."
        other = ", or go on without that side by --allow-partial."
        raise UserError(
            f"{what}: {len(missing)} of {len(gt)} pictures have no low-quality picture: "
            f"{some(missing)}. Fetch them{bicubic if key[0] == 'bicubic' else other}"
        )
    plan.notes.append(f"{what}: not used, {len(missing)} pictures are missing: {some(missing)}")
    return False


def _wrong(lq: Entry, gt: Entry, scale: int, headers: dict[Entry, ImageHeader]) -> str:
    """What the sizes of a pair say against it."""
    small, large = headers[lq], headers[gt]
    rest = large.height - scale * small.height, large.width - scale * small.width
    if all(0 <= r < scale for r in rest):
        return ""
    ratio = round(large.height / small.height)
    other = f"; it looks like x{ratio}" if ratio not in (0, scale) else ""
    return (
        f"{lq.file} is {small.width}x{small.height}, and {gt.file} is "
        f"{large.width}x{large.height}: not x{scale}{other}"
    )
