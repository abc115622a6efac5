"""Look at the headers of all pictures of a plan before anything is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from superres.datasets.prepare.entries import Entry
from superres.datasets.prepare.plan import SetPlan, some
from superres.datasets.storage.notes import header_notes
from superres.errors import UserError
from superres.imaging.io import ImageHeader

Headers = dict[str, ImageHeader]


def check_plan(
    plan: SetPlan,
    scales: tuple[int, ...],
    allow_partial: bool,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[str]:
    """Compare names and sizes of a plan; drop the low-quality sides that nobody asked for.

    Pictures whose header cannot be read are left to the packer, which reports them.

    Returns:
        What is worth telling: grey, 16-bit, transparent, rotated pictures, those with a colour
        profile.

    Raises:
        UserError: a low-quality side lacks pictures, or is not of the scale that it claims;
            a ground truth that is smaller than a scale.
    """
    plan.lq = {key: pictures for key, pictures in plan.lq.items() if key[1] in scales}
    sides = [plan.gt, *plan.lq.values(), *plan.gt_at.values()]
    total, done = sum(map(len, sides)), 0
    headers: list[Headers] = []
    for pictures in sides:
        found: Headers = {}
        for name, entry in pictures.items():
            with contextlib.suppress(UserError):
                found[name] = entry.header()
            done += 1
            if progress is not None:
                progress(done, total, name)
        headers.append(found)
    _check_small(plan, headers[0], max(scales, default=1))
    of_gt = dict(zip(plan.gt_at, headers[1 + len(plan.lq) :]))
    for (key, pictures), found in zip(list(plan.lq.items()), headers[1:]):
        gt = plan.gt_at.get(key[1], plan.gt)
        if not _check_names(plan, key, gt, pictures, allow_partial):
            del plan.lq[key]
        else:
            _check_sizes(key[1], gt, of_gt.get(key[1], headers[0]), pictures, found)
    return [f"{plan.name}: {note}" for note in header_notes(headers[0])]


def _check_names(
    plan: SetPlan,
    key: tuple[str, int],
    gt: Mapping[str, Entry],
    lq: dict[str, Entry],
    allow_partial: bool,
) -> bool:
    """Whether the low-quality side can be used; what has no ground truth is taken out of it."""
    what = f"{plan.name}, LR_{key[0]} X{key[1]}"
    for name in [name for name in lq if name not in gt]:
        plan.notes.append(f"{what}: {lq.pop(name).label} has no ground truth, left out")
    missing = [name for name in gt if name not in lq]
    if not missing:
        return True
    if not allow_partial:
        raise UserError(
            f"{what}: {len(missing)} of {len(gt)} pictures have no low-quality picture: "
            f"{some(missing)}. Fetch them"
            + (", or move that folder or archive away: it is then made by the exact bicubic."
               if key[0] == "bicubic" else ", or go on without that side by --allow-partial.")
        )  # fmt: skip
    plan.notes.append(f"{what}: not used, {len(missing)} pictures are missing: {some(missing)}")
    return False


def _check_sizes(
    scale: int,
    gt: Mapping[str, Entry],
    gt_headers: Headers,
    lq: Mapping[str, Entry],
    lq_headers: Headers,
) -> None:
    wrong = []
    for name, small in lq_headers.items():
        large = gt_headers.get(name)
        if large is None or name not in lq:
            continue
        rest = large.height - scale * small.height, large.width - scale * small.width
        if not all(0 <= r < scale for r in rest):
            ratio = round(large.height / small.height)
            other = f"; it looks like x{ratio}" if ratio not in (0, scale) else ""
            wrong.append(
                f"{lq[name].label} is {small.width}x{small.height}, and {gt[name].label} is "
                f"{large.width}x{large.height}: not x{scale}{other}"
            )
    if wrong:
        more = f"\n  ... and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise UserError(
            f"{len(wrong)} low-quality pictures have the wrong size:\n  "
            + "\n  ".join(wrong[:10])
            + more
        )


def _check_small(plan: SetPlan, headers: Headers, scale: int) -> None:
    for name, header in headers.items():
        if min(header.height, header.width) < scale:
            raise UserError(
                f"{plan.gt[name].label}: {header.width}x{header.height} pixels, too small for "
                f"scale {scale}. Remove it, or prepare smaller scales (--scales)."
            )
